//! A1 measures who asks and whether he may, in process, by `auth/examples/who_asks.rs`.

use anyhow::{Context, Result, ensure};

use crate::{
    bench::{Plan, Row, Table, Who, table::Better},
    bound::bound,
};

const ROLES: usize = 5_000;
const BINDINGS: usize = 10_000;

const CERTIFICATE: Row = Row {
    figure: "A1",
    what: "who asks and may he, certificate, 5,000 × scale roles and twice the bindings",
    unit: "µs",
    better: Better::Less,
    aim: "< 20 µs",
};
const TOKEN: Row =
    Row { what: "who asks and may he, cached token, 5,000 × scale roles and twice the bindings", ..CERTIFICATE };
const RATE: Row = Row {
    what: "service accounts' tokens verified on one core, none seen before",
    unit: "/s",
    better: Better::More,
    aim: "≥ 20000 /s",
    ..CERTIFICATE
};

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    ensure!(plan.who_asks.is_file(), "there is no {}: `make bench` builds it", plan.who_asks.display());
    for _ in 0..plan.rounds {
        let numbers = [plan.scaled(ROLES).to_string(), plan.scaled(BINDINGS).to_string()];
        let mut program = tokio::process::Command::from(bound(&plan.who_asks));
        let output = program.args(numbers).kill_on_drop(true).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout)?;
        for (row, before) in [(&CERTIFICATE, "certificate "), (&TOKEN, "token "), (&RATE, "verified ")] {
            let value = number_after(&said, before).with_context(|| format!("{said}: nothing after {before:?}"))?;
            table.note(row, plan.scale, Who::Skiff, value);
        }
    }
    Ok(())
}

fn number_after(said: &str, word: &str) -> Option<f64> {
    said.split_once(word)?.1.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_read_from_what_the_program_says() {
        let said = "A1: 5000 roles, 10000 bindings: certificate 2.50 µs, token 3.25 µs (an account's 3.25, one known elsewhere 2.00)\n\
                    A1: verified 25000 /s of 5000 tokens by ES256, none seen before\n";
        let of = |word| super::number_after(said, word);
        assert_eq!((of("certificate "), of("token "), of("verified ")), (Some(2.5), Some(3.25), Some(25000.0)));
        assert_eq!(of("nothing "), None);
    }
}
