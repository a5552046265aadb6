//! The rules, as the generated parser walks them: before each choice and loop it looks whether what comes may come.
//!
//! Where the generated parser looks ahead as far as it needs to, the look is written out.

use super::super::lexer::Kind;
use super::tokens::Set;
use super::{DEPTH_MAX, Fail, Recovering, Run};

const PRIMARY: Set = Set::of(&[
    Kind::OpenBracket,
    Kind::OpenBrace,
    Kind::OpenParen,
    Kind::Dot,
    Kind::Minus,
    Kind::True,
    Kind::False,
    Kind::Null,
    Kind::Float,
    Kind::Int,
    Kind::Uint,
    Kind::String,
    Kind::Bytes,
    Kind::Ident,
]);
const EXPR: Set = PRIMARY.or(Set::of(&[Kind::Not]));
const OPTIONAL_EXPR: Set = EXPR.or(Set::of(&[Kind::Question]));
const FIELD_NAME: Set = Set::of(&[Kind::Ident, Kind::EscapedIdent]);
const FIELD: Set = FIELD_NAME.or(Set::of(&[Kind::Question]));
const RELATIONS: Set = Set::of(&[
    Kind::Equals,
    Kind::NotEquals,
    Kind::In,
    Kind::Less,
    Kind::LessEquals,
    Kind::GreaterEquals,
    Kind::Greater,
]);
const PRODUCTS: Set = Set::of(&[Kind::Star, Kind::Slash, Kind::Percent]);
const SUMS: Set = Set::of(&[Kind::Plus, Kind::Minus]);
const MEMBERS: Set = Set::of(&[Kind::Dot, Kind::OpenBracket]);
const COMMA: Set = Set::of(&[Kind::Comma]);
const COLON: Set = Set::of(&[Kind::Colon]);
const PAREN: Set = Set::of(&[Kind::CloseParen]);
const BRACKET: Set = Set::of(&[Kind::CloseBracket]);
const BRACE: Set = Set::of(&[Kind::CloseBrace]);

/// A row of the like, comma between them: the states of its loop and its parts.
struct Row {
    first: u16,
    entry: u16,
    comma: u16,
    next: u16,
    back: u16,
}

impl Recovering<'_> {
    pub(super) fn start(&mut self) -> Run {
        // Nothing follows the whole: its errors end at the end of the text.
        let outcome = (|| {
            self.expr(34, Set::of(&[Kind::End]))?;
            self.matching(35, Kind::End, Set::END)
        })();
        match outcome {
            Err(Fail::End) | Ok(()) => outcome,
            Err(fail) => self.give_up(fail),
        }
    }

    fn expr(&mut self, state: u16, follow: Set) -> Run {
        self.exprs += 1;
        if self.exprs > DEPTH_MAX {
            return self.too_deep();
        }
        let outcome = self.rule(state, follow, |p| {
            p.or(37, Set::of(&[Kind::Question]).or_end())?;
            p.sync(43, Set::of(&[Kind::Question]).or_end())?;
            if p.kind() == Kind::Question {
                p.matching(38, Kind::Question, EXPR)?;
                p.or(39, COLON)?;
                p.matching(40, Kind::Colon, EXPR)?;
                p.expr(41, Set::END)?;
            }
            Ok(())
        });
        self.exprs -= 1;
        outcome
    }

    fn or(&mut self, state: u16, follow: Set) -> Run {
        let goes_on = Set::of(&[Kind::Or]).or_end();
        self.rule(state, follow, |p| {
            p.and(45, goes_on)?;
            p.sync(50, goes_on)?;
            while p.kind() == Kind::Or {
                p.matching(46, Kind::Or, EXPR)?;
                p.and(47, goes_on)?;
                p.sync_loop(52, goes_on)?;
            }
            Ok(())
        })
    }

    fn and(&mut self, state: u16, follow: Set) -> Run {
        let goes_on = Set::of(&[Kind::And]).or_end();
        self.rule(state, follow, |p| {
            p.relation(53, goes_on, 0)?;
            p.sync(58, goes_on)?;
            while p.kind() == Kind::And {
                p.matching(54, Kind::And, EXPR)?;
                p.relation(55, goes_on, 0)?;
                p.sync_loop(60, goes_on)?;
            }
            Ok(())
        })
    }

    fn relation(&mut self, state: u16, follow: Set, precedence: u8) -> Run {
        self.relations += 1;
        if self.relations > DEPTH_MAX {
            return self.too_deep();
        }
        let goes_on = RELATIONS.or_end();
        let outcome = self.rule(state, follow, |p| {
            p.calc(62, goes_on, 0)?;
            p.sync(69, goes_on)?;
            while precedence <= 1 && RELATIONS.has(p.kind()) {
                p.state = 65;
                p.matched();
                p.consume();
                p.relation(66, goes_on, 2)?;
                p.sync_loop(71, goes_on)?;
            }
            Ok(())
        });
        self.relations -= 1;
        outcome
    }

    fn calc(&mut self, state: u16, follow: Set, precedence: u8) -> Run {
        self.calcs += 1;
        if self.calcs > DEPTH_MAX {
            return self.too_deep();
        }
        let goes_on = PRODUCTS.or(SUMS).or_end();
        let outcome = self.rule(state, follow, |p| {
            p.unary(73, goes_on)?;
            p.sync(83, goes_on)?;
            loop {
                let (operator, operand, next) = match p.kind() {
                    kind if PRODUCTS.has(kind) && precedence <= 2 => (76, 77, 3),
                    kind if SUMS.has(kind) && precedence <= 1 => (79, 80, 2),
                    _ => return Ok(()),
                };
                p.state = operator;
                p.matched();
                p.consume();
                p.calc(operand, goes_on, next)?;
                p.sync_loop(85, goes_on)?;
            }
        });
        self.calcs -= 1;
        outcome
    }

    fn unary(&mut self, state: u16, follow: Set) -> Run {
        self.rule(state, follow, |p| {
            p.sync(99, EXPR)?;
            match p.kind() {
                Kind::Not => {
                    p.sync(88, Set::of(&[Kind::Not]))?;
                    while p.kind() == Kind::Not {
                        p.matching(87, Kind::Not, EXPR)?;
                        p.sync_loop(90, EXPR)?;
                    }
                    p.member(92, Set::END)
                }
                Kind::Minus if matches!(p.ahead(1), Kind::Int | Kind::Float) => p.member(86, Set::END),
                Kind::Minus if PRIMARY.has(p.ahead(1)) => {
                    p.minuses()?;
                    p.member(98, Set::END)
                }
                Kind::Minus => Err(Fail::NoViable(p.at, p.at + 1)),
                kind if PRIMARY.has(kind) => p.member(86, Set::END),
                _ => Err(Fail::NoViable(p.at, p.at)),
            }
        })
    }

    fn minuses(&mut self) -> Run {
        self.sync(94, Set::of(&[Kind::Minus]))?;
        loop {
            self.matching(93, Kind::Minus, PRIMARY)?;
            self.sync_loop(96, PRIMARY)?;
            match self.kind() {
                Kind::Minus => {}
                kind if PRIMARY.has(kind) => return Ok(()),
                _ => return Err(Fail::NoViable(self.at, self.at)),
            }
        }
    }

    fn member(&mut self, state: u16, follow: Set) -> Run {
        let goes_on = MEMBERS.or_end();
        self.rule(state, follow, |p| {
            p.primary(102, goes_on)?;
            p.sync(128, goes_on)?;
            while MEMBERS.has(p.kind()) {
                p.sync(126, MEMBERS)?;
                match (p.kind(), p.ahead(1)) {
                    (Kind::OpenBracket, _) => p.index(goes_on)?,
                    (_, Kind::Ident) if p.ahead(2) == Kind::OpenParen => {
                        p.matching(111, Kind::Dot, Set::of(&[Kind::Ident]))?;
                        p.matching(112, Kind::Ident, Set::of(&[Kind::OpenParen]))?;
                        p.matching(113, Kind::OpenParen, EXPR.or(PAREN))?;
                        p.arguments([115, 114, 117], goes_on)?;
                    }
                    (_, Kind::Ident | Kind::EscapedIdent | Kind::Question) => p.select(goes_on)?,
                    _ => return Err(Fail::NoViable(p.at, p.at + 1)),
                }
                p.sync_loop(130, goes_on)?;
            }
            Ok(())
        })
    }

    fn select(&mut self, after: Set) -> Run {
        self.matching(105, Kind::Dot, FIELD)?;
        self.sync(107, FIELD)?;
        if self.kind() == Kind::Question {
            self.matching(106, Kind::Question, FIELD_NAME)?;
        }
        self.field_name(109, after)
    }

    fn index(&mut self, after: Set) -> Run {
        self.matching(119, Kind::OpenBracket, OPTIONAL_EXPR)?;
        self.sync(121, OPTIONAL_EXPR)?;
        if self.kind() == Kind::Question {
            self.matching(120, Kind::Question, EXPR)?;
        }
        self.expr(123, BRACKET)?;
        self.matching(124, Kind::CloseBracket, after)
    }

    /// Behind an opening parenthesis, by the states of the choice, of the row and of the closing one.
    fn arguments(&mut self, [choice, row, close]: [u16; 3], after: Set) -> Run {
        self.sync(choice, EXPR.or(PAREN))?;
        if EXPR.has(self.kind()) {
            let goes_on = COMMA.or_end();
            self.rule(row, PAREN, |p| {
                p.expr(186, goes_on)?;
                p.sync(191, goes_on)?;
                while p.kind() == Kind::Comma {
                    p.matching(187, Kind::Comma, EXPR)?;
                    p.expr(188, goes_on)?;
                    p.sync_loop(193, goes_on)?;
                }
                Ok(())
            })?;
        }
        self.matching(close, Kind::CloseParen, after)
    }

    fn primary(&mut self, state: u16, follow: Set) -> Run {
        self.rule(state, follow, |p| {
            p.sync(184, PRIMARY)?;
            match p.kind() {
                Kind::OpenParen => {
                    p.matching(144, Kind::OpenParen, EXPR)?;
                    p.expr(145, PAREN)?;
                    p.matching(146, Kind::CloseParen, Set::END)
                }
                Kind::OpenBracket => p.list(),
                Kind::OpenBrace => p.map(),
                Kind::Dot if p.ahead(1) != Kind::Ident => Err(Fail::NoViable(p.at, p.at + 1)),
                Kind::Dot | Kind::Ident => p.name(),
                kind if PRIMARY.has(kind) => p.literal(183),
                _ => Err(Fail::NoViable(p.at, p.at)),
            }
        })
    }

    fn name(&mut self) -> Run {
        let name = usize::from(self.kind() == Kind::Dot);
        let dotted = Set::of(&[Kind::Dot, Kind::Ident]);
        let mut end = name;
        while self.ahead(end + 1) == Kind::Dot && self.ahead(end + 2) == Kind::Ident {
            end += 2;
        }
        if self.ahead(end + 1) == Kind::OpenBrace {
            return self.message();
        }
        let is_call = self.ahead(name + 1) == Kind::OpenParen;
        let (choice, dot, ident) = if is_call { (136, 135, 138) } else { (132, 131, 134) };
        self.sync(choice, dotted)?;
        if self.kind() == Kind::Dot {
            self.matching(dot, Kind::Dot, Set::of(&[Kind::Ident]))?;
        }
        if !is_call {
            return self.matching(ident, Kind::Ident, Set::END);
        }
        self.matching(ident, Kind::Ident, Set::of(&[Kind::OpenParen]))?;
        self.matching(139, Kind::OpenParen, EXPR.or(PAREN))?;
        self.arguments([141, 140, 143], Set::END)
    }

    fn message(&mut self) -> Run {
        let goes_on = Set::of(&[Kind::Dot, Kind::OpenBrace]);
        self.sync(165, Set::of(&[Kind::Dot, Kind::Ident]))?;
        if self.kind() == Kind::Dot {
            self.matching(164, Kind::Dot, Set::of(&[Kind::Ident]))?;
        }
        self.matching(167, Kind::Ident, goes_on)?;
        self.sync(172, goes_on)?;
        while self.kind() == Kind::Dot {
            self.matching(168, Kind::Dot, Set::of(&[Kind::Ident]))?;
            self.matching(169, Kind::Ident, goes_on)?;
            self.sync_loop(174, goes_on)?;
        }
        let inner = FIELD.or(COMMA).or(BRACE);
        self.matching(175, Kind::OpenBrace, inner)?;
        self.sync(177, inner)?;
        if FIELD.has(self.kind()) {
            self.rule(176, COMMA.or(BRACE), |p| {
                p.field(202)?;
                p.matching(203, Kind::Colon, EXPR)?;
                p.expr(204, COMMA.or_end())?;
                p.sync(212, COMMA.or_end())?;
                while p.kind() == Kind::Comma && FIELD.has(p.ahead(1)) {
                    p.matching(205, Kind::Comma, FIELD)?;
                    p.field(206)?;
                    p.matching(207, Kind::Colon, EXPR)?;
                    p.expr(208, COMMA.or_end())?;
                    p.sync_loop(214, COMMA.or_end())?;
                }
                Ok(())
            })?;
        }
        self.sync(180, COMMA.or(BRACE))?;
        if self.kind() == Kind::Comma {
            self.matching(179, Kind::Comma, BRACE)?;
        }
        self.matching(182, Kind::CloseBrace, Set::END)
    }

    fn field(&mut self, state: u16) -> Run {
        self.rule(state, COLON, |p| {
            p.sync(216, FIELD)?;
            if p.kind() == Kind::Question {
                p.matching(215, Kind::Question, FIELD_NAME)?;
            }
            p.field_name(218, Set::END)
        })
    }

    fn field_name(&mut self, state: u16, follow: Set) -> Run {
        self.rule(state, follow, |p| {
            let start = p.at;
            let outcome = p.sync(235, FIELD_NAME).and_then(|()| match p.kind() {
                Kind::Ident => p.matching(233, Kind::Ident, Set::END),
                Kind::EscapedIdent => p.matching(234, Kind::EscapedIdent, Set::END),
                _ => Err(Fail::NoViable(p.at, p.at)),
            });
            if outcome.is_err() {
                p.nameless.push(start);
            }
            outcome
        })
    }

    fn list(&mut self) -> Run {
        let inner = OPTIONAL_EXPR.or(COMMA).or(BRACKET);
        self.matching(148, Kind::OpenBracket, inner)?;
        self.sync(150, inner)?;
        if OPTIONAL_EXPR.has(self.kind()) {
            let row = Row { first: 194, entry: 199, comma: 195, next: 196, back: 201 };
            self.rule(149, COMMA.or(BRACKET), |p| p.row(row))?;
        }
        self.sync(153, COMMA.or(BRACKET))?;
        if self.kind() == Kind::Comma {
            self.matching(152, Kind::Comma, BRACKET)?;
        }
        self.matching(155, Kind::CloseBracket, Set::END)
    }

    fn row(&mut self, row: Row) -> Run {
        let goes_on = COMMA.or_end();
        self.optional_expr(row.first, goes_on)?;
        self.sync(row.entry, goes_on)?;
        while self.kind() == Kind::Comma && OPTIONAL_EXPR.has(self.ahead(1)) {
            self.matching(row.comma, Kind::Comma, OPTIONAL_EXPR)?;
            self.optional_expr(row.next, goes_on)?;
            self.sync_loop(row.back, goes_on)?;
        }
        Ok(())
    }

    fn optional_expr(&mut self, state: u16, follow: Set) -> Run {
        self.rule(state, follow, |p| {
            p.sync(238, OPTIONAL_EXPR)?;
            if p.kind() == Kind::Question {
                p.matching(237, Kind::Question, EXPR)?;
            }
            p.expr(240, Set::END)
        })
    }

    fn map(&mut self) -> Run {
        let inner = OPTIONAL_EXPR.or(COMMA).or(BRACE);
        self.matching(156, Kind::OpenBrace, inner)?;
        self.sync(158, inner)?;
        if OPTIONAL_EXPR.has(self.kind()) {
            self.rule(157, COMMA.or(BRACE), |p| {
                p.optional_expr(220, COLON)?;
                p.matching(221, Kind::Colon, EXPR)?;
                p.expr(222, COMMA.or_end())?;
                p.sync(230, COMMA.or_end())?;
                while p.kind() == Kind::Comma && OPTIONAL_EXPR.has(p.ahead(1)) {
                    p.matching(223, Kind::Comma, OPTIONAL_EXPR)?;
                    p.optional_expr(224, COLON)?;
                    p.matching(225, Kind::Colon, EXPR)?;
                    p.expr(226, COMMA.or_end())?;
                    p.sync_loop(232, COMMA.or_end())?;
                }
                Ok(())
            })?;
        }
        self.sync(161, COMMA.or(BRACE))?;
        if self.kind() == Kind::Comma {
            self.matching(160, Kind::Comma, BRACE)?;
        }
        self.matching(163, Kind::CloseBrace, Set::END)
    }

    fn literal(&mut self, state: u16) -> Run {
        self.rule(state, Set::END, |p| {
            p.sync(256, PRIMARY)?;
            if p.kind() == Kind::Minus {
                let number = p.ahead(1);
                if !matches!(number, Kind::Int | Kind::Float) {
                    return Err(Fail::NoViable(p.at, p.at + 1));
                }
                p.matching(242, Kind::Minus, Set::of(&[number]))?;
            }
            let kind = p.kind();
            p.matching(245, kind, Set::END)
        })
    }
}
