//! A document's nodes, before anybody asks what they mean.

use std::collections::HashMap;

use libyaml_safer::{EventData, Parser};

use crate::Error;

/// A document: nodes that name one another by their place, so that an alias is no copy.
pub struct Document {
    pub nodes: Vec<Node>,
}

pub struct Node {
    /// From 1.
    pub line: u64,
    pub content: Content,
}

pub enum Content {
    Scalar {
        value: String,
        tag: Option<String>,
        /// Whether nothing was said about what it is: neither quotes nor a tag.
        implicit: bool,
    },
    /// The place of what it stands for.
    Alias {
        anchor: String,
        target: usize,
    },
    Sequence(Vec<usize>),
    /// Keys and values by turns.
    Mapping(Vec<usize>),
}

/// What upstream calls too deep (`max_flow_level`, `max_indents`).
const DEPTH_NAMED: usize = 10_000;
/// Nodes inside one another. Trees are never so deep.
const DEPTH_MAX: usize = 2 * crate::DEPTH_MAX;

/// Reads the first document; none in a text without any.
pub fn parse(text: &[u8]) -> Result<Option<Document>, Error> {
    if let Some(line) = too_deep(text) {
        return Err(too_deep_at(line));
    }
    // As upstream, which never parses nothing.
    let mut input = if text.is_empty() { b"\n".as_slice() } else { text };
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let mut builder = Builder { nodes: Vec::new(), anchors: HashMap::new(), open: Vec::new() };
    loop {
        let event = parser.parse().map_err(|error| problem(&error))?;
        let line = event.start_mark.line + 1;
        match event.data {
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } => {}
            EventData::StreamEnd => return Ok(None),
            EventData::DocumentEnd { .. } => return Ok(Some(Document { nodes: builder.nodes })),
            EventData::Alias { anchor } => {
                let Some(target) = builder.anchors.get(&anchor).copied() else {
                    return Err(Error(format!("yaml: unknown anchor '{anchor}' referenced")));
                };
                builder.add(None, Node { line, content: Content::Alias { anchor, target } });
            }
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                builder.add(anchor, Node { line, content: Content::Scalar { value, tag, implicit: plain_implicit } });
            }
            EventData::SequenceStart { anchor, .. } => {
                builder.begin(anchor, Node { line, content: Content::Sequence(Vec::new()) })?;
            }
            EventData::MappingStart { anchor, .. } => {
                builder.begin(anchor, Node { line, content: Content::Mapping(Vec::new()) })?;
            }
            EventData::SequenceEnd | EventData::MappingEnd => {
                builder.open.pop();
            }
        }
    }
}

struct Builder {
    nodes: Vec<Node>,
    anchors: HashMap<String, usize>,
    open: Vec<usize>,
}

// === impl Builder ===

impl Builder {
    fn add(&mut self, anchor: Option<String>, node: Node) -> usize {
        let place = self.nodes.len();
        self.nodes.push(node);
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, place);
        }
        if let Some(parent) = self.open.last()
            && let Content::Sequence(children) | Content::Mapping(children) = &mut self.nodes[*parent].content
        {
            children.push(place);
        }
        place
    }

    fn begin(&mut self, anchor: Option<String>, node: Node) -> Result<(), Error> {
        let line = node.line;
        let place = self.add(anchor, node);
        self.open.push(place);
        if self.open.len() > DEPTH_MAX {
            return Err(too_deep_at(line));
        }
        Ok(())
    }
}

/// The line in which more brackets are open than may be. The parser's time grows with their number times the text's length,
/// so they are counted before it; what a text quotes is counted too, which only a text that opens so many and closes none
/// can notice.
fn too_deep(text: &[u8]) -> Option<u64> {
    let (mut depth, mut line) = (0usize, 1);
    for byte in text {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some(line);
        }
    }
    None
}

/// The line counts from 1; of what is wrong in the first, go-yaml names no line.
pub(super) fn too_deep_at(line: u64) -> Error {
    let place = if line > 1 { format!("line {line}: ") } else { String::new() };
    Error(format!("yaml: {place}exceeded max depth of {DEPTH_NAMED}"))
}

/// Upstream: go-yaml's `parser.fail`, whose lines begin at 0, except those of the scanner.
fn problem(error: &libyaml_safer::Error) -> Error {
    use libyaml_safer::ErrorKind;
    let is_scanner = error.kind() == ErrorKind::Scanner;
    let at = |mark: Option<libyaml_safer::Mark>| mark.map_or(0, |mark| mark.line);
    let line = match (at(error.problem_mark()), at(error.context_mark())) {
        (0, context) => context,
        (problem, _) => problem + u64::from(is_scanner),
    };
    match line {
        0 => Error(format!("yaml: {}", error.problem())),
        line => Error(format!("yaml: line {line}: {}", error.problem())),
    }
}
