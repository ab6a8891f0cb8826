//! Rust text as a tree of tokens, each with its line: words, punctuation, string literals, groups in brackets.
//!
//! Not here: what the tokens mean (`source.rs`). Own code and not proc-macro2, because naming that crate here would
//! build every procedural macro of the tree a second time. Comments and lifetimes are dropped.

/// One token, and the line it begins at.
#[derive(Debug)]
pub struct Token {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// An identifier, a keyword or a number.
    Word(String),
    Punct(char),
    /// The inside of a string literal, escapes as written.
    Text(String),
    /// What stands between a bracket, which is kept, and its partner.
    Group(char, Vec<Token>),
}

/// Reads a whole file.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1 };
    let tokens = lexer.group();
    assert!(lexer.at >= lexer.chars.len(), "a bracket closes at line {} that was not open", lexer.line);
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn next(&mut self) -> char {
        let c = self.peek(0);
        self.at += 1;
        self.line += usize::from(c == '\n');
        c
    }

    /// Everything up to the closing bracket, which it leaves, or the end.
    fn group(&mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while self.at < self.chars.len() && !matches!(self.peek(0), ')' | ']' | '}') {
            let line = self.line;
            if let Some(kind) = self.token() {
                tokens.push(Token { line, kind });
            }
        }
        tokens
    }

    fn token(&mut self) -> Option<Kind> {
        match self.next() {
            '/' if self.peek(0) == '/' => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.next();
                }
                None
            }
            '/' if self.peek(0) == '*' => {
                self.block_comment();
                None
            }
            open @ ('(' | '[' | '{') => {
                let inside = self.group();
                assert!(self.at < self.chars.len(), "a bracket of line {} stays open", self.line);
                self.next();
                Some(Kind::Group(open, inside))
            }
            '"' => Some(Kind::Text(self.text())),
            '\'' => {
                self.quote();
                None
            }
            c if c == '_' || c.is_alphanumeric() => self.word(c),
            c if c.is_whitespace() => None,
            c => Some(Kind::Punct(c)),
        }
    }

    /// A word; or the literal whose prefix it is: `b"…"`, `r#"…"#`, `c"…"`, `b'…'`.
    fn word(&mut self, first: char) -> Option<Kind> {
        let mut word = String::from(first);
        while self.peek(0) == '_' || self.peek(0).is_alphanumeric() {
            word.push(self.next());
        }
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == '#').count();
        match word.as_str() {
            "r" | "br" | "cr" if self.peek(hashes) == '"' => Some(Kind::Text(self.raw_text(hashes))),
            "b" | "c" if self.peek(0) == '"' => {
                self.next();
                Some(Kind::Text(self.text()))
            }
            "b" if self.peek(0) == '\'' => {
                self.next();
                self.quote();
                None
            }
            _ => Some(Kind::Word(word)),
        }
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        while self.at < self.chars.len() {
            match self.next() {
                '"' => break,
                '\\' => text.extend(['\\', self.next()]),
                c => text.push(c),
            }
        }
        text
    }

    fn raw_text(&mut self, hashes: usize) -> String {
        self.at += hashes + 1;
        let mut text = String::new();
        while self.at < self.chars.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes + 1;
                break;
            }
            text.push(self.next());
        }
        text
    }

    /// A character literal; or a lifetime, whose name is dropped too.
    fn quote(&mut self) {
        if self.peek(0) == '\\' {
            self.at += 2;
            while self.at < self.chars.len() && self.next() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.next();
            self.next();
        } else {
            while self.peek(0) == '_' || self.peek(0).is_alphanumeric() {
                self.next();
            }
        }
    }

    fn block_comment(&mut self) {
        self.next();
        let mut depth = 1;
        while depth > 0 && self.at < self.chars.len() {
            match (self.next(), self.peek(0)) {
                ('*', '/') => depth -= 1,
                ('/', '*') => depth += 1,
                _ => continue,
            }
            self.next();
        }
    }
}
