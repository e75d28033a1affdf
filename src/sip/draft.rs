//! The outgoing message as a list of pieces: ranges of the incoming message, and ranges of a little text of our own.
//!
//! Writing straight into the send buffer looked simpler. It would force the edits into the order of the message, while
//! the rules of §16.6 come in another order and some depend on each other; a list of a few dozen pieces costs a few
//! nanoseconds and lets each rule say what it changes, where.

use std::fmt::{self, Write};

use arrayvec::ArrayVec;

use super::Span;

/// The most pieces a message can be cut into. A reply keeps one a Via line; a forwarded request needs about a dozen.
pub const MAX_PIECES: usize = 192;

/// The most bytes of our own text in one message: a Via, a Record-Route or two, a reply's own headers.
pub const MAX_TEXT_BYTES: usize = 2048;

/// The message needs more pieces or more text than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftFull;

#[derive(Clone, Copy, Debug)]
enum Piece {
    /// Bytes of the incoming message.
    Message(Span),
    /// Bytes of `Draft::text`.
    Text(Span),
}

/// An outgoing message in the making. Reused from message to message, so that it is laid out in memory once.
#[derive(Debug, Default)]
pub struct Draft {
    pieces: ArrayVec<Piece, MAX_PIECES>,
    text: ArrayVec<u8, MAX_TEXT_BYTES>,
}

impl Draft {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Back to an empty message.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.text.clear();
    }

    /// Appends a part of the incoming message.
    pub fn keep(&mut self, span: Span) -> Result<(), DraftFull> {
        self.pieces.try_push(Piece::Message(span)).map_err(|_| DraftFull)
    }

    /// Appends text of our own.
    pub fn write(&mut self, text: fmt::Arguments<'_>) -> Result<(), DraftFull> {
        let span = self.format(text)?;
        self.pieces.try_push(Piece::Text(span)).map_err(|_| DraftFull)
    }

    /// Puts text in before the byte at `place`, and behind what was put in there before.
    pub fn insert(&mut self, place: Span, text: fmt::Arguments<'_>) -> Result<(), DraftFull> {
        self.replace(place.before(), text)
    }

    /// Puts several texts in at one place, as [`Draft::insert`] does, without formatting.
    pub fn insert_bytes(&mut self, place: Span, texts: &[&[u8]]) -> Result<(), DraftFull> {
        self.replace_bytes(place.before(), texts)
    }

    /// Puts several texts in the place of a part of the incoming message.
    pub fn replace_bytes(&mut self, span: Span, texts: &[&[u8]]) -> Result<(), DraftFull> {
        let start = self.text.len();
        for text in texts {
            self.text.try_extend_from_slice(text).map_err(|_| DraftFull)?;
        }
        self.splice(span, Some(Span::new(start, self.text.len())))
    }

    /// Takes a part of the incoming message out.
    pub fn delete(&mut self, span: Span) -> Result<(), DraftFull> {
        self.splice(span, None)
    }

    /// Puts text in the place of a part of the incoming message.
    pub fn replace(&mut self, span: Span, text: fmt::Arguments<'_>) -> Result<(), DraftFull> {
        let text = self.format(text)?;
        self.splice(span, Some(text))
    }

    /// The message's length in bytes.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.span().len()).sum()
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the message into `out` and gives its length; `None` where `out` is too small. `message` is the incoming
    /// message that the pieces were cut from.
    pub fn render(&self, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        for piece in &self.pieces {
            let bytes = match piece {
                Piece::Message(span) => span.of(message),
                Piece::Text(span) => span.of(&self.text),
            };
            out.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            at += bytes.len();
        }
        Some(at)
    }

    fn format(&mut self, text: fmt::Arguments<'_>) -> Result<Span, DraftFull> {
        let start = self.text.len();
        TextWriter(&mut self.text).write_fmt(text).map_err(|_| DraftFull)?;
        Ok(Span::new(start, self.text.len()))
    }

    /// Cuts `span` out of the pieces and puts `text` there. One piece must cover `span`: an edit never touches what
    /// another took out.
    fn splice(&mut self, span: Span, text: Option<Span>) -> Result<(), DraftFull> {
        let Some((index, piece)) = self.piece_around(span) else {
            debug_assert!(false, "no piece covers {span:?}");
            return Err(DraftFull);
        };
        let before = Span { start: piece.start, end: span.start };
        let after = Span { start: span.end, end: piece.end };
        let parts = [
            (!before.is_empty()).then_some(Piece::Message(before)),
            text.map(Piece::Text),
            (!after.is_empty()).then_some(Piece::Message(after)),
        ];
        self.pieces.remove(index);
        for (offset, part) in parts.into_iter().flatten().enumerate() {
            self.pieces.try_insert(index + offset, part).map_err(|_| DraftFull)?;
        }
        Ok(())
    }

    /// The piece of the message that covers `span`. Where two pieces meet at an empty span it is the latter, so that
    /// texts put in at one place stand in the order in which they were put.
    fn piece_around(&self, span: Span) -> Option<(usize, Span)> {
        let covering = |(index, piece): (usize, &Piece)| match piece {
            Piece::Message(piece) if piece.start <= span.start && span.end <= piece.end => Some((index, *piece)),
            _ => None,
        };
        self.pieces.iter().enumerate().rev().find_map(covering)
    }
}

impl Piece {
    fn span(&self) -> Span {
        match self {
            Piece::Message(span) | Piece::Text(span) => *span,
        }
    }
}

struct TextWriter<'a>(&'a mut ArrayVec<u8, MAX_TEXT_BYTES>);

impl fmt::Write for TextWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"0123456789";

    fn rendered(edit: impl FnOnce(&mut Draft) -> Result<(), DraftFull>) -> String {
        let mut draft = Draft::new();
        draft.keep(Span::new(0, MESSAGE.len())).unwrap();
        edit(&mut draft).unwrap();
        let mut out = [0; 64];
        let len = draft.render(MESSAGE, &mut out).unwrap();
        assert_eq!(len, draft.len());
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn edits_may_come_in_any_order() {
        let text = rendered(|draft| {
            draft.replace(Span::new(8, 9), format_args!("[eight]"))?;
            draft.delete(Span::new(0, 2))?;
            draft.insert(Span::new(5, 5), format_args!("<"))?;
            draft.insert_bytes(Span::new(5, 5), &[b"a", b"b"])
        });
        assert_eq!(text, "234<ab567[eight]9");
    }

    #[test]
    fn text_goes_in_at_either_end() {
        let text = rendered(|draft| {
            draft.insert(Span::new(10, 10), format_args!("!"))?;
            draft.insert(Span::new(0, 0), format_args!("^"))
        });
        assert_eq!(text, "^0123456789!");
    }

    #[test]
    fn a_buffer_that_is_too_small_gives_nothing() {
        let mut draft = Draft::new();
        draft.keep(Span::new(0, 10)).unwrap();
        assert_eq!(draft.render(MESSAGE, &mut [0; 9]), None);
    }

    #[test]
    fn too_many_pieces_are_an_error() {
        let mut draft = Draft::new();
        let filled = (0..MAX_PIECES).all(|_| draft.keep(Span::new(0, 1)).is_ok());
        assert!(filled);
        assert_eq!(draft.keep(Span::new(0, 1)), Err(DraftFull));
    }
}
