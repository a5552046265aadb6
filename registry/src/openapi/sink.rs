//! Where a document goes, piece by piece: as a whole it would take ten times its text in memory.

use std::io::Write;

use api::Value;

/// Takes a document's members in their order.
pub trait Sink {
    /// Begins a member that is an object.
    fn open(&mut self, name: &str);

    /// A member of what is open, or of the document.
    fn put(&mut self, name: &str, value: Value);

    /// Ends what was opened last.
    fn close(&mut self);
}

/// Writes JSON.
pub struct Json<W> {
    out: W,
    buffer: Vec<u8>,
    /// Whether the next member is an object's first.
    first: bool,
    failed: Option<std::io::Error>,
}

impl<W: Write> Json<W> {
    pub fn new(out: W) -> Json<W> {
        Json { out, buffer: vec![b'{'], first: true, failed: None }
    }

    /// The writer behind it, or why it took no more.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.buffer.push(b'}');
        self.flush();
        self.failed.map_or(Ok(self.out), Err)
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.buffer.push(b',');
        }
        codec::json::encode::string(name, &mut self.buffer);
        self.buffer.push(b':');
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }
}

impl<W: Write> Sink for Json<W> {
    fn open(&mut self, name: &str) {
        self.name(name);
        self.buffer.push(b'{');
        self.first = true;
    }

    fn put(&mut self, name: &str, value: Value) {
        self.name(name);
        codec::json::write(&value, &mut self.buffer);
        self.flush();
    }

    fn close(&mut self) {
        self.buffer.push(b'}');
        self.first = false;
    }
}
