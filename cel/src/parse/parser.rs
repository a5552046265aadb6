//! Tokens to a tree, in one pass.
//!
//! Nesting is counted twice, as upstream does: by rules that stand within themselves while it parses, and by how high the tree
//! is that its visitor walks. So nothing that comes out of here is higher than a few hundred nodes.

use std::sync::Arc;

use crate::ast::{Call, Element, Entry, Expr, Field, Id, Kind as Node, Select};
use crate::issue::{Issues, Source};
use crate::value::Value;

use super::lexer::{Kind, Token};
use super::literal;
use super::macros::{Macros, Request};

/// How often a rule may stand within itself, and how high the tree may be.
const DEPTH_MAX: usize = 250;

const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Why the parser went no further.
pub(super) enum Stop {
    /// This is no expression.
    Syntax,
    /// It is nested too deeply.
    Depth(String),
}

/// A node and how high upstream's visitor takes it to be.
struct Tall {
    expr: Expr,
    height: usize,
}

type Result<T> = std::result::Result<T, Stop>;

pub(crate) struct Parser<'a> {
    source: &'a Source,
    tokens: &'a [Token],
    at: usize,
    macros: Macros,
    pub issues: Issues,
    pub offsets: Vec<usize>,
    /// How deep `expr`, `relation` and `calc` stand within themselves.
    exprs: usize,
    relations: usize,
    calcs: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a Source, tokens: &'a [Token], macros: Macros) -> Parser<'a> {
        Parser {
            source,
            tokens,
            at: 0,
            macros,
            issues: Issues::default(),
            offsets: vec![0],
            exprs: 0,
            relations: 0,
            calcs: 0,
        }
    }

    pub(super) fn whole(&mut self) -> Result<Expr> {
        let tall = self.expr()?;
        self.expect(Kind::End)?;
        Ok(tall.expr)
    }

    // --- tokens

    fn kind(&self) -> Kind {
        self.tokens[self.at].kind
    }

    fn kind_after(&self, count: usize) -> Kind {
        self.tokens.get(self.at + count).map_or(Kind::End, |token| token.kind)
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at];
        self.at += 1;
        token
    }

    fn take(&mut self, kind: Kind) -> Option<Token> {
        (self.kind() == kind).then(|| self.next())
    }

    fn expect(&mut self, kind: Kind) -> Result<Token> {
        self.take(kind).ok_or(Stop::Syntax)
    }

    fn text(&self, token: Token) -> String {
        self.source.text(token.start, token.end)
    }

    // --- nodes

    /// A new id, for a node that stands at an offset.
    pub(super) fn id(&mut self, offset: usize) -> Id {
        self.offsets.push(offset);
        self.offsets.len() - 1
    }

    pub(super) fn node(&mut self, offset: usize, kind: Node) -> Expr {
        Expr { id: self.id(offset), kind }
    }

    /// Says what is wrong and leaves nothing in its place.
    pub(super) fn refuse(&mut self, offset: usize, message: String) -> Expr {
        self.issues.report(self.source, Some(offset), message);
        self.node(offset, Node::Nothing)
    }

    fn tall(&self, expr: Expr, below: usize) -> Result<Tall> {
        let height = below + 1;
        if height > DEPTH_MAX {
            return Err(Stop::Depth("max recursion depth exceeded".to_owned()));
        }
        Ok(Tall { expr, height })
    }

    /// A call, or what a macro makes of it.
    fn call(&mut self, at: usize, function: &str, target: Option<Expr>, arguments: Vec<Expr>) -> Expr {
        let mut request = Request { at, function, target, arguments };
        if let Some(expanded) = self.macros.expand(self, &mut request) {
            return expanded;
        }
        let Request { target, arguments, .. } = request;
        self.node(at, Node::Call(Box::new(Call { function: function.into(), target, arguments })))
    }

    // --- rules

    fn expr(&mut self) -> Result<Tall> {
        self.exprs += 1;
        deep_enough(self.exprs)?;
        let condition = self.or()?;
        let result = match self.take(Kind::Question) {
            None => Ok(condition),
            Some(op) => self.ternary(op, condition),
        };
        self.exprs -= 1;
        result
    }

    fn ternary(&mut self, op: Token, condition: Tall) -> Result<Tall> {
        let yes = self.or()?;
        self.expect(Kind::Colon)?;
        let no = self.expr()?;
        let height = condition.height.max(yes.height).max(no.height);
        let expr = self.call(op.start, "_?_:_", None, vec![condition.expr, yes.expr, no.expr]);
        self.tall(expr, height)
    }

    fn or(&mut self) -> Result<Tall> {
        let first = self.and()?;
        if self.kind() != Kind::Or {
            return Ok(first);
        }
        let (mut terms, mut ops, mut height) = (vec![first.expr], Vec::new(), first.height);
        while let Some(op) = self.take(Kind::Or) {
            let term = self.and()?;
            ops.push(op.start);
            height = height.max(term.height);
            terms.push(term.expr);
        }
        Ok(Tall { expr: self.balanced("_||_", terms, &ops), height })
    }

    fn and(&mut self) -> Result<Tall> {
        let first = self.relation(0)?;
        if self.kind() != Kind::And {
            return Ok(first);
        }
        let (mut terms, mut ops, mut height) = (vec![first.expr], Vec::new(), first.height);
        while let Some(op) = self.take(Kind::And) {
            let term = self.relation(0)?;
            ops.push(op.start);
            height = height.max(term.height);
            terms.push(term.expr);
        }
        Ok(Tall { expr: self.balanced("_&&_", terms, &ops), height })
    }

    /// A balanced tree of one operator, so that a long row of terms is no deep one.
    fn balanced(&mut self, function: &str, terms: Vec<Expr>, ops: &[usize]) -> Expr {
        let mut terms: Vec<Option<Expr>> = terms.into_iter().map(Some).collect();
        self.balanced_between(function, &mut terms, ops, 0, ops.len() - 1)
    }

    fn balanced_between(
        &mut self,
        function: &str,
        terms: &mut [Option<Expr>],
        ops: &[usize],
        low: usize,
        high: usize,
    ) -> Expr {
        let middle = (low + high).div_ceil(2);
        let mut side = |parser: &mut Self, is_leaf: bool, term: usize, low: usize, high: usize| {
            if is_leaf {
                terms[term].take().expect("each term stands in one place")
            } else {
                parser.balanced_between(function, terms, ops, low, high)
            }
        };
        let left = side(self, middle == low, middle, low, middle.saturating_sub(1));
        let right = side(self, middle == high, middle + 1, middle + 1, high);
        let call = Call { function: function.into(), target: None, arguments: vec![left, right] };
        self.node(ops[middle], Node::Call(Box::new(call)))
    }

    fn relation(&mut self, precedence: u8) -> Result<Tall> {
        self.relations += 1;
        deep_enough(self.relations)?;
        let mut left = self.calc(0)?;
        while precedence <= 1
            && let Some(function) = relation(self.kind())
        {
            let op = self.next();
            let right = self.relation(2)?;
            left = self.binary(op, function, left, right)?;
        }
        self.relations -= 1;
        Ok(left)
    }

    fn calc(&mut self, precedence: u8) -> Result<Tall> {
        self.calcs += 1;
        deep_enough(self.calcs)?;
        let mut left = self.unary()?;
        while let Some((function, strength)) = calculation(self.kind()).filter(|(_, strength)| precedence <= *strength)
        {
            let op = self.next();
            let right = self.calc(strength + 1)?;
            left = self.binary(op, function, left, right)?;
        }
        self.calcs -= 1;
        Ok(left)
    }

    fn binary(&mut self, op: Token, function: &str, left: Tall, right: Tall) -> Result<Tall> {
        let height = left.height.max(right.height);
        let expr = self.call(op.start, function, None, vec![left.expr, right.expr]);
        self.tall(expr, height)
    }

    fn unary(&mut self) -> Result<Tall> {
        let (function, sign) = match self.kind() {
            Kind::Not => ("!_", Kind::Not),
            Kind::Minus if !matches!(self.kind_after(1), Kind::Int | Kind::Float) => ("-_", Kind::Minus),
            _ => return self.member(),
        };
        let op = self.next();
        let mut count = 1;
        while self.take(sign).is_some() {
            count += 1;
        }
        let operand = self.member()?;
        if count % 2 == 0 {
            return Ok(operand);
        }
        Ok(Tall { expr: self.call(op.start, function, None, vec![operand.expr]), height: operand.height })
    }

    fn member(&mut self) -> Result<Tall> {
        let mut operand = self.primary()?;
        loop {
            operand = match self.kind() {
                Kind::Dot if self.kind_after(1) == Kind::Ident && self.kind_after(2) == Kind::OpenParen => {
                    self.member_call(operand)?
                }
                Kind::Dot => self.select(operand)?,
                Kind::OpenBracket => self.index(operand)?,
                _ => return Ok(operand),
            };
        }
    }

    fn member_call(&mut self, target: Tall) -> Result<Tall> {
        self.next();
        let name = self.next();
        let function = self.text(name);
        let open = self.next();
        let (arguments, height) = self.arguments()?;
        let height = height.max(target.height);
        let expr = self.call(open.start, &function, Some(target.expr), arguments);
        self.tall(expr, height)
    }

    fn select(&mut self, operand: Tall) -> Result<Tall> {
        let dot = self.next();
        let is_optional = self.take(Kind::Question).is_some();
        let (name, field) = self.field_name()?;
        let expr = if is_optional {
            let field = self.node(name.start, Node::Literal(Value::from(&*field)));
            let call = Call { function: "_?._".into(), target: None, arguments: vec![operand.expr, field] };
            self.node(dot.start, Node::Call(Box::new(call)))
        } else {
            let select = Select { operand: operand.expr, field, test_only: false };
            self.node(dot.start, Node::Select(Box::new(select)))
        };
        self.tall(expr, operand.height)
    }

    fn field_name(&mut self) -> Result<(Token, Arc<str>)> {
        if !matches!(self.kind(), Kind::Ident | Kind::EscapedIdent) {
            return Err(Stop::Syntax);
        }
        let token = self.next();
        let name = match token.kind {
            Kind::Ident => self.text(token),
            _ => self.source.text(token.start + 1, token.end - 1),
        };
        Ok((token, name.into()))
    }

    fn index(&mut self, operand: Tall) -> Result<Tall> {
        let open = self.next();
        let function = if self.take(Kind::Question).is_some() { "_[?_]" } else { "_[_]" };
        let index = self.expr()?;
        self.expect(Kind::CloseBracket)?;
        let height = operand.height.max(index.height);
        let expr = self.call(open.start, function, None, vec![operand.expr, index.expr]);
        self.tall(expr, height)
    }

    fn primary(&mut self) -> Result<Tall> {
        match self.kind() {
            Kind::OpenParen => {
                self.next();
                let inner = self.expr()?;
                self.expect(Kind::CloseParen)?;
                Ok(inner)
            }
            Kind::OpenBracket => self.list(),
            Kind::OpenBrace => self.map(),
            Kind::Dot | Kind::Ident => self.name(),
            _ => self.literal(),
        }
    }

    /// A variable, a call, or the name of what is constructed.
    fn name(&mut self) -> Result<Tall> {
        if self.is_message() {
            return self.message();
        }
        let dot = if self.take(Kind::Dot).is_some() { "." } else { "" };
        let token = self.expect(Kind::Ident)?;
        let word = self.text(token);
        let name = format!("{dot}{word}");
        let is_reserved = RESERVED.contains(&word.as_str());
        let start = self.tokens[self.at - 1 - dot.len()].start;
        if self.kind() != Kind::OpenParen {
            let expr = if is_reserved {
                self.refuse(start, format!("reserved identifier: {word}"))
            } else {
                self.node(token.start, Node::Ident(name.into()))
            };
            return Ok(Tall { expr, height: 0 });
        }
        let open = self.next();
        let (arguments, height) = self.arguments()?;
        let expr = if is_reserved {
            self.refuse(start, format!("reserved identifier: {word}"))
        } else {
            self.call(open.start, &name, None, arguments)
        };
        Ok(Tall { expr, height })
    }

    fn is_message(&self) -> bool {
        let mut ahead = usize::from(self.kind() == Kind::Dot);
        while self.kind_after(ahead) == Kind::Ident {
            match self.kind_after(ahead + 1) {
                Kind::OpenBrace => return true,
                Kind::Dot => ahead += 2,
                _ => return false,
            }
        }
        false
    }

    fn message(&mut self) -> Result<Tall> {
        let mut name = String::new();
        while self.kind() != Kind::OpenBrace {
            let token = self.next();
            name.push_str(&self.text(token));
        }
        let open = self.next();
        let (mut fields, mut height) = (Vec::new(), 0);
        if self.take(Kind::Comma).is_none() && self.kind() != Kind::CloseBrace {
            loop {
                let optional = self.take(Kind::Question).is_some();
                let (_, field) = self.field_name()?;
                let colon = self.expect(Kind::Colon)?;
                let value = self.expr()?;
                height = height.max(value.height);
                fields.push(Field { id: self.id(colon.start), name: field, value: value.expr, optional });
                if !self.goes_on(Kind::CloseBrace) {
                    break;
                }
            }
        }
        self.expect(Kind::CloseBrace)?;
        Ok(Tall { expr: self.node(open.start, Node::Struct(name.into(), fields)), height })
    }

    /// Past the comma that has another entry behind it; a comma that has none is past, too.
    fn goes_on(&mut self, close: Kind) -> bool {
        self.take(Kind::Comma).is_some() && self.kind() != close
    }

    fn list(&mut self) -> Result<Tall> {
        let open = self.next();
        let (mut elements, mut height) = (Vec::new(), 0);
        if self.take(Kind::Comma).is_none() && self.kind() != Kind::CloseBracket {
            loop {
                let optional = self.take(Kind::Question).is_some();
                let value = self.expr()?;
                height = height.max(value.height);
                elements.push(Element { value: value.expr, optional });
                if !self.goes_on(Kind::CloseBracket) {
                    break;
                }
            }
        }
        self.expect(Kind::CloseBracket)?;
        Ok(Tall { expr: self.node(open.start, Node::List(elements)), height })
    }

    fn map(&mut self) -> Result<Tall> {
        let open = self.next();
        let (mut entries, mut height) = (Vec::new(), 0);
        if self.take(Kind::Comma).is_none() && self.kind() != Kind::CloseBrace {
            loop {
                let optional = self.take(Kind::Question).is_some();
                let key = self.expr()?;
                self.expect(Kind::Colon)?;
                let value = self.expr()?;
                height = height.max(key.height).max(value.height);
                entries.push(Entry { key: key.expr, value: value.expr, optional });
                if !self.goes_on(Kind::CloseBrace) {
                    break;
                }
            }
        }
        self.expect(Kind::CloseBrace)?;
        Ok(Tall { expr: self.node(open.start, Node::Map(entries)), height })
    }

    /// Up to and with the closing parenthesis.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize)> {
        let (mut arguments, mut height) = (Vec::new(), 0);
        if self.take(Kind::CloseParen).is_some() {
            return Ok((arguments, height));
        }
        loop {
            let argument = self.expr()?;
            height = height.max(argument.height);
            arguments.push(argument.expr);
            if self.take(Kind::Comma).is_none() {
                self.expect(Kind::CloseParen)?;
                return Ok((arguments, height));
            }
        }
    }

    fn literal(&mut self) -> Result<Tall> {
        let start = self.tokens[self.at].start;
        let sign = if self.take(Kind::Minus).is_some() { "-" } else { "" };
        let token = self.tokens[self.at];
        let text = format!("{sign}{}", self.text(token));
        let value = match token.kind {
            Kind::Int => literal::int(&text).ok_or("invalid int literal"),
            Kind::Float => literal::double(&text).ok_or("invalid double literal"),
            _ if !sign.is_empty() => return Err(Stop::Syntax),
            Kind::Uint => literal::uint(&text).ok_or("invalid uint literal"),
            Kind::String => literal::string(&text),
            Kind::Bytes => literal::bytes(&text),
            Kind::True => Ok(Value::Bool(true)),
            Kind::False => Ok(Value::Bool(false)),
            Kind::Null => Ok(Value::Null),
            _ => return Err(Stop::Syntax),
        };
        self.next();
        let expr = match value {
            Ok(value) => self.node(start, Node::Literal(value)),
            Err(message) => self.refuse(start, message.to_owned()),
        };
        Ok(Tall { expr, height: 0 })
    }
}

fn deep_enough(depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Stop::Depth(format!("expression recursion limit exceeded: {DEPTH_MAX}")));
    }
    Ok(())
}

fn relation(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Less => "_<_",
        Kind::LessEquals => "_<=_",
        Kind::GreaterEquals => "_>=_",
        Kind::Greater => "_>_",
        Kind::Equals => "_==_",
        Kind::NotEquals => "_!=_",
        Kind::In => "@in",
        _ => return None,
    })
}

fn calculation(kind: Kind) -> Option<(&'static str, u8)> {
    Some(match kind {
        Kind::Star => ("_*_", 2),
        Kind::Slash => ("_/_", 2),
        Kind::Percent => ("_%_", 2),
        Kind::Plus => ("_+_", 1),
        Kind::Minus => ("_-_", 1),
        _ => return None,
    })
}
