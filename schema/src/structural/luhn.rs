//! Numbers that carry their own check: books and credit cards. Upstream: kube-openapi's copy of govalidator.

/// Without dashes and spaces.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

pub fn is_isbn10(text: &str) -> bool {
    let bare = bare(text);
    let digits: Option<Vec<u32>> =
        bare.chars().enumerate().map(|(i, c)| if i == 9 && c == 'X' { Some(10) } else { c.to_digit(10) }).collect();
    digits.is_some_and(|d| d.len() == 10 && d.iter().zip(1u32..).map(|(d, i)| d * i).sum::<u32>().is_multiple_of(11))
}

pub fn is_isbn13(text: &str) -> bool {
    let digits: Option<Vec<u32>> = bare(text).chars().map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|d| {
        let sum: u32 = d.iter().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { 3 * d }).sum();
        d.len() == 13 && sum.is_multiple_of(10)
    })
}

pub fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let starts = |prefix: &str| digits.iter().map(u32::to_string).collect::<String>().starts_with(prefix);
    let len = digits.len();
    let known = match len {
        13 => starts("4"),
        14 => ["300", "301", "302", "303", "304", "305", "36", "38"].iter().any(|p| starts(p)),
        15 => ["34", "37", "2131", "1800"].iter().any(|p| starts(p)),
        16 => starts("4") || ["51", "52", "53", "54", "55", "6011", "65", "35"].iter().any(|p| starts(p)),
        _ => false,
    };
    let luhn = digits.iter().rev().enumerate().map(|(i, d)| match (i % 2, 2 * d) {
        (0, _) => *d,
        (_, twice) if twice > 9 => twice - 9,
        (_, twice) => twice,
    });
    known && luhn.sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_add_up() {
        assert!(is_isbn10("0321751043") && !is_isbn10("0321751044"));
        assert!(is_isbn13("978-0321751041") && !is_isbn13("978-0321751042"));
        assert!(is_credit_card("4111 1111 1111 1111") && !is_credit_card("4111 1111 1111 1112"));
    }
}
