//! Room for what is nested deeply: as deep as upstream allows is deeper than a worker's stack, so that such expressions are
//! handled on a thread of their own. Hardly any is.

use std::io;
use std::thread;

use crate::ast::Expr;

/// Nodes above each other that any stack has room for.
const SHALLOW: usize = 40;
/// Bytes of stack for what is deeper; the deepest takes about a tenth of it.
const STACK: usize = 64 << 20;

/// Whether a text may come to a tree that is not shallow: each step down needs one of these.
pub(crate) fn may_be_deep(text: &str) -> bool {
    text.bytes().filter(|byte| b"([{.?+-*/%<>=".contains(byte)).take(SHALLOW + 1).count() > SHALLOW
}

pub(crate) fn is_deep(expr: &Expr) -> bool {
    fn reaches(expr: &Expr, depth: usize) -> bool {
        depth > SHALLOW || expr.children().into_iter().any(|child| reaches(child, depth + 1))
    }
    reaches(expr, 0)
}

/// Runs here, or where there is room. An error: the system gives no thread.
pub(crate) fn with_room<T: Send>(is_deep: bool, run: impl FnOnce() -> T + Send) -> io::Result<T> {
    if !is_deep {
        return Ok(run());
    }
    thread::scope(|scope| {
        let handle = thread::Builder::new().name("cel".to_owned()).stack_size(STACK).spawn_scoped(scope, run)?;
        handle.join().map_err(|_| io::Error::other("an expression's thread panicked"))
    })
}
