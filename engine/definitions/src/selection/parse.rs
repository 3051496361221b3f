//! Text to selection: a tokenizer and a recursive descent with a limit on depth.

use std::ops::Range;
use std::str::FromStr;

use super::{Attribute, Expr, Selection, SelectionError, State};
use crate::nearest;

const DEPTH_MAX: usize = 200;
const ATTRIBUTES: [&str; 6] = ["key", "tag", "owner", "group", "kind", "is"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Null,
    Symbol(char),
}

type Spanned = (Token, Range<usize>);

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tokens = tokenize(text)?;
        let mut parser = Parser { tokens, at: 0, end: text.len(), depth: 0 };
        let expr = parser.or()?;
        match parser.peek() {
            None => Ok(Self(expr)),
            Some((_, range)) => {
                let found = &text[range.clone()];
                Err(SelectionError::new(
                    format!("`{found}` does not follow; join selections with `and` or `or`"),
                    range.clone(),
                ))
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '*' | '@' | '-')
}

fn tokenize(text: &str) -> Result<Vec<Spanned>, SelectionError> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let token = match c {
            _ if c.is_whitespace() => continue,
            '"' => {
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some((_, '"')) => break,
                        Some((_, c)) => value.push(c),
                        None => {
                            let range = start..text.len();
                            return Err(SelectionError::new("this quote is not closed", range));
                        }
                    }
                }
                Token::Quoted(value)
            }
            '<' if text[start..].starts_with("<null>") => {
                for _ in 1.."<null>".len() {
                    chars.next();
                }
                Token::Null
            }
            _ if is_word(c) => {
                let mut end = start + c.len_utf8();
                while let Some((at, c)) = chars.next_if(|(_, c)| is_word(*c)) {
                    end = at + c.len_utf8();
                }
                Token::Word(text[start..end].to_owned())
            }
            '+' | '(' | ')' | ':' | '=' => Token::Symbol(c),
            _ => {
                let range = start..start + c.len_utf8();
                let message = format!("`{c}` means nothing in a selection");
                return Err(SelectionError::new(message, range));
            }
        };
        let end = chars.peek().map_or(text.len(), |(at, _)| *at);
        let end = text[start..end].trim_end().len() + start;
        tokens.push((token, start..end));
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Spanned> {
        self.tokens.get(self.at)
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = matches!(self.peek(), Some((Token::Symbol(c), _)) if *c == symbol);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.peek(), Some((Token::Word(w), _)) if w.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn next_is(&self, ahead: usize, symbol: char) -> bool {
        matches!(self.tokens.get(self.at + ahead), Some((Token::Symbol(c), _)) if *c == symbol)
    }

    fn or(&mut self) -> Result<Expr, SelectionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the selection is nested more than {DEPTH_MAX} levels deep");
            return Err(SelectionError::new(message, self.here()));
        }
        let mut left = self.and()?;
        while self.keyword("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, SelectionError> {
        let mut left = self.not()?;
        while self.keyword("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, SelectionError> {
        let mut negated = false;
        while self.keyword("not") {
            negated = !negated;
        }
        let expr = self.traversal()?;
        Ok(if negated { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn traversal(&mut self) -> Result<Expr, SelectionError> {
        let up = if self.symbol('+') {
            usize::MAX
        } else if self.next_is(1, '+')
            && let Some(levels) = self.digits()
        {
            self.at += 1;
            levels
        } else {
            0
        };
        let of = self.primary()?;
        let down = if self.symbol('+') { self.digits().unwrap_or(usize::MAX) } else { 0 };
        if up == 0 && down == 0 {
            return Ok(of);
        }
        Ok(Expr::Traverse { of: Box::new(of), up, down })
    }

    fn digits(&mut self) -> Option<usize> {
        let Some((Token::Word(word), _)) = self.peek() else { return None };
        let levels = word.parse().ok()?;
        self.at += 1;
        Some(levels)
    }

    fn primary(&mut self) -> Result<Expr, SelectionError> {
        if self.symbol('(') {
            let expr = self.or()?;
            self.close()?;
            return Ok(expr);
        }
        let Some((token, range)) = self.peek().cloned() else {
            return Err(SelectionError::new(
                "the selection ends where a name should be",
                self.here(),
            ));
        };
        if let Token::Word(word) = &token {
            let function = word.to_ascii_lowercase();
            if self.next_is(1, '(') && matches!(function.as_str(), "sinks" | "roots") {
                self.at += 2;
                let of = Box::new(self.or()?);
                self.close()?;
                return Ok(if function == "sinks" { Expr::Sinks(of) } else { Expr::Roots(of) });
            }
            if self.next_is(1, ':') {
                self.at += 2;
                return self.attribute(word, range);
            }
            if word == "*" {
                self.at += 1;
                return Ok(Expr::All);
            }
            if ["and", "or", "not"].contains(&function.as_str()) {
                let message = format!("`{word}` stands where a name should be");
                return Err(SelectionError::new(message, range));
            }
        }
        let (value, range) = self.value()?;
        match value {
            Some(key) => Ok(Expr::Attribute(Attribute::Key(key), range)),
            None => Err(SelectionError::new("`<null>` is only a value of `group:`", range)),
        }
    }

    fn close(&mut self) -> Result<(), SelectionError> {
        if self.symbol(')') {
            return Ok(());
        }
        Err(SelectionError::new("a `)` is missing here", self.here()))
    }

    fn here(&self) -> Range<usize> {
        self.peek().map_or(self.end..self.end, |(_, range)| range.clone())
    }

    /// A word, a quoted text, or `<null>`.
    fn value(&mut self) -> Result<(Option<String>, Range<usize>), SelectionError> {
        let found = self.peek().cloned();
        self.at += 1;
        match found {
            Some((Token::Word(text) | Token::Quoted(text), range)) => Ok((Some(text), range)),
            Some((Token::Null, range)) => Ok((None, range)),
            Some((Token::Symbol(c), range)) => {
                Err(SelectionError::new(format!("`{c}` stands where a name should be"), range))
            }
            None => {
                let range = self.end..self.end;
                Err(SelectionError::new("the selection ends where a value should be", range))
            }
        }
    }

    fn attribute(&mut self, name: &str, range: Range<usize>) -> Result<Expr, SelectionError> {
        if !ATTRIBUTES.contains(&name) {
            let listed = ATTRIBUTES.map(|a| format!("`{a}:`")).join(", ");
            let message = format!("`{name}:` selects nothing; the attributes are {listed}");
            let mut error = SelectionError::new(message, range);
            error.nearest = nearest(name, ATTRIBUTES).map(str::to_owned);
            return Err(error);
        }
        let (value, value_range) = self.value()?;
        let whole = range.start..value_range.end;
        let Some(value) = value else {
            return match name {
                "group" => Ok(Expr::Attribute(Attribute::Group(None), whole)),
                _ => Err(SelectionError::new("`<null>` is only a value of `group:`", value_range)),
            };
        };
        let attribute = match name {
            "key" => Attribute::Key(value),
            "tag" => {
                let wanted = if self.symbol('=') { self.value()?.0 } else { None };
                Attribute::Tag(value, wanted)
            }
            "owner" => {
                // `team:NAME` is an owner, although `:` is otherwise a separator.
                if value == "team" && self.symbol(':') {
                    Attribute::Owner(format!("team:{}", self.value()?.0.unwrap_or_default()))
                } else {
                    Attribute::Owner(value)
                }
            }
            "group" => Attribute::Group(Some(value)),
            "kind" => Attribute::Kind(value),
            _ => Attribute::Is(match value.as_str() {
                "external" => State::External,
                "materializable" => State::Materializable,
                other => {
                    let message = format!(
                        "`is:{other}` selects nothing; it is `external` or `materializable`"
                    );
                    let mut error = SelectionError::new(message, value_range);
                    error.nearest =
                        nearest(other, ["external", "materializable"]).map(str::to_owned);
                    return Err(error);
                }
            }),
        };
        Ok(Expr::Attribute(attribute, whole))
    }
}
