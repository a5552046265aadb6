//! Whether bytes are a JSON object, in the words of Go's `encoding/json`.

/// Where a scan is when something unexpected comes.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

const DEPTH_MAX: usize = 10_000;
const END: &str = "unexpected end of JSON input";

/// What is wrong with the bytes as an object; null is taken, as Go does.
pub fn object(bytes: &[u8]) -> Result<(), String> {
    let mut scan = Scan { bytes, at: 0 };
    scan.document()?;
    let kind = match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{' | b'n') | None => return Ok(()),
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(_) => "number",
    };
    Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

// === impl Scan ===

impl Scan<'_> {
    /// One value and nothing after it. Containers are kept on a stack of their own: depth is the client's to choose.
    fn document(&mut self) -> Result<(), String> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.value(&mut open)?;
            // A value has ended: close what closes, or go on to the next value.
            loop {
                self.space();
                match (open.last(), self.peek()) {
                    (None, None) => return Ok(()),
                    (None, Some(_)) => return Err(self.unexpected("after top-level value")),
                    (Some(_), None) => return Err(END.into()),
                    (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')) => {
                        self.at += 1;
                        open.pop();
                    }
                    (Some(b'['), Some(b',')) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'{'), Some(b',')) => {
                        self.at += 1;
                        self.key()?;
                        break;
                    }
                    (Some(b'['), Some(_)) => return Err(self.unexpected("after array element")),
                    (Some(_), Some(_)) => return Err(self.unexpected("after object key:value pair")),
                }
            }
        }
    }

    /// Goes through a scalar or an empty container, or into the first value of a full one.
    fn value(&mut self, open: &mut Vec<u8>) -> Result<(), String> {
        loop {
            self.space();
            match self.next()? {
                b'{' => {
                    self.space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                        return Ok(());
                    }
                    open.push(b'{');
                    self.key()?;
                }
                b'[' => {
                    self.space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        return Ok(());
                    }
                    open.push(b'[');
                }
                b'"' => return self.string(),
                b't' => return self.literal("true"),
                b'f' => return self.literal("false"),
                b'n' => return self.literal("null"),
                b'-' | b'0'..=b'9' => return self.number(),
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected("looking for beginning of value"));
                }
            }
            if open.len() > DEPTH_MAX {
                return Err("exceeded max depth".into());
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<(), String> {
        self.space();
        self.expect(b'"', "looking for beginning of object key string")?;
        self.string()?;
        self.space();
        self.expect(b':', "after object key")
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            if !self.next()?.is_ascii_hexdigit() {
                                self.at -= 1;
                                return Err(self.unexpected("in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    _ => {
                        self.at -= 1;
                        return Err(self.unexpected("in string escape code"));
                    }
                },
                0..b' ' => {
                    self.at -= 1;
                    return Err(self.unexpected("in string literal"));
                }
                _ => {}
            }
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes().skip(1) {
            let context = format!("in literal {word} (expecting '{}')", char::from(expected));
            self.expect(expected, &context)?;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let mut first = self.bytes[self.at - 1];
        if first == b'-' {
            self.digit("in numeric literal")?;
            first = self.bytes[self.at - 1];
        }
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<(), String> {
        if self.next()?.is_ascii_digit() {
            return Ok(());
        }
        self.at -= 1;
        Err(self.unexpected(context))
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or(END)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8, context: &str) -> Result<(), String> {
        match self.peek() {
            None => Err(END.into()),
            Some(b) if b == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.unexpected(context)),
        }
    }

    /// Upstream: scanner.error, quoteChar.
    fn unexpected(&self, context: &str) -> String {
        let shown = match self.peek() {
            Some(b'\'') => "'\\''".to_string(),
            Some(b'"') => "'\"'".to_string(),
            Some(b) => {
                let quoted = api::field::quote(&char::from(b).to_string());
                format!("'{}'", &quoted[1..quoted.len() - 1])
            }
            None => return END.into(),
        };
        format!("invalid character {shown} {context}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_gos() {
        for good in ["{}", " {\"a\": [1, -2.5e+3, null, true, {\"b\": \"\\u00e9\\n\"}], \"c\": []} ", "null"] {
            assert_eq!(object(good.as_bytes()), Ok(()), "{good}");
        }
        let cases = [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("bad", "invalid character 'b' looking for beginning of value"),
            ("{a", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("{\"a\": nul}", "invalid character '}' in literal null (expecting 'l')"),
            ("{\"a\": 1.}", "invalid character '}' after decimal point in numeric literal"),
            ("{\"a\": \"\n\"}", "invalid character '\\n' in string literal"),
            ("{\"a\": \"\\x\"}", "invalid character 'x' in string escape code"),
            ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ];
        for (text, error) in cases {
            assert_eq!(object(text.as_bytes()), Err(error.to_string()), "{text}");
        }
    }
}
