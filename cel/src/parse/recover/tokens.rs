//! Sets of tokens, as messages list them.

use std::fmt;

use super::super::lexer::Kind;

/// Which tokens may come; and whether the rule may end here.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Set(u64);

const END_OF_RULE: u64 = 1 << 63;

/// As they are written, in the order of [`Kind`].
const NAMES: &[&str] = &[
    "<EOF>",
    "'=='",
    "'!='",
    "'in'",
    "'<'",
    "'<='",
    "'>='",
    "'>'",
    "'&&'",
    "'||'",
    "'['",
    "']'",
    "'{'",
    "'}'",
    "'('",
    "')'",
    "'.'",
    "','",
    "'-'",
    "'!'",
    "'?'",
    "':'",
    "'+'",
    "'*'",
    "'/'",
    "'%'",
    "'true'",
    "'false'",
    "'null'",
    "NUM_FLOAT",
    "NUM_INT",
    "NUM_UINT",
    "STRING",
    "BYTES",
    "IDENTIFIER",
    "ESC_IDENTIFIER",
];

impl Set {
    pub(super) const NONE: Set = Set(0);
    /// Only the end of the rule.
    pub(super) const END: Set = Set(END_OF_RULE);

    pub(super) const fn of(kinds: &[Kind]) -> Set {
        let (mut bits, mut index) = (0, 0);
        while index < kinds.len() {
            bits |= 1 << kinds[index] as u64;
            index += 1;
        }
        Set(bits)
    }

    pub(super) const fn or(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    /// These, or the end of the rule.
    pub(super) const fn or_end(self) -> Set {
        Set(self.0 | END_OF_RULE)
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u64) != 0
    }

    pub(super) fn may_end(self) -> bool {
        self.0 & END_OF_RULE != 0
    }

    pub(super) fn without_end(self) -> Set {
        Set(self.0 & !END_OF_RULE)
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().enumerate().filter(|(index, _)| self.0 & (1 << index) != 0);
        let names: Vec<&str> = named.map(|(_, name)| *name).collect();
        match names.as_slice() {
            [only] => f.write_str(only),
            some => write!(f, "{{{}}}", some.join(", ")),
        }
    }
}
