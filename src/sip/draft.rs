//! The outgoing message as parts of the incoming one, edits to them, and a little text of our own.
//!
//! Writing straight into the send buffer looked simpler. It would force the edits into the order of the message, while
//! the rules of §16.6 come in another order and some depend on each other; a list of a few edits costs a few
//! nanoseconds and lets each rule say what it changes, where.

use arrayvec::ArrayVec;

use super::Span;

/// The most parts a message can have. A reply keeps one a Via line; a forwarded message is one.
pub const MAX_PARTS: usize = 192;

/// The most edits. A forwarded request needs about eight, and one for each Route of ours that stands by itself.
pub const MAX_EDITS: usize = 192;

/// The most bytes of our own text in one message: a Via, a Record-Route or two, a reply's own headers.
pub const MAX_TEXT_BYTES: usize = 2048;

/// The message needs more parts, edits or text than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftFull;

#[derive(Clone, Copy, Debug)]
enum Part {
    /// Bytes of the incoming message.
    Message(Span),
    /// Bytes of `Draft::text`.
    Text(Span),
}

/// Text in the place of some bytes of the incoming message; either may be empty.
#[derive(Clone, Copy, Debug)]
struct Edit {
    cut: Span,
    text: Span,
}

/// An outgoing message in the making. Reused from message to message, so that it is laid out in memory once.
#[derive(Debug, Default)]
pub struct Draft {
    parts: ArrayVec<Part, MAX_PARTS>,
    /// In the order of the message. They do not overlap.
    edits: ArrayVec<Edit, MAX_EDITS>,
    text: ArrayVec<u8, MAX_TEXT_BYTES>,
}

impl Draft {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Back to an empty message.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.edits.clear();
        self.text.clear();
    }

    /// Appends a part of the incoming message.
    pub fn keep(&mut self, span: Span) -> Result<(), DraftFull> {
        self.parts.try_push(Part::Message(span)).map_err(|_| DraftFull)
    }

    /// Appends text of our own.
    pub fn write<const N: usize>(&mut self, texts: [&[u8]; N]) -> Result<(), DraftFull> {
        let text = self.take(texts)?;
        self.parts.try_push(Part::Text(text)).map_err(|_| DraftFull)
    }

    /// Puts text in before the byte at the start of `place`, and behind what was put in there before.
    #[inline]
    pub fn insert<const N: usize>(&mut self, place: Span, texts: [&[u8]; N]) -> Result<(), DraftFull> {
        self.replace(place.before(), texts)
    }

    /// Takes bytes of the incoming message out.
    pub fn delete(&mut self, cut: Span) -> Result<(), DraftFull> {
        self.edit(cut, Span::default())
    }

    /// Puts text in the place of bytes of the incoming message. No edit may touch what another takes out.
    #[inline]
    pub fn replace<const N: usize>(&mut self, cut: Span, texts: [&[u8]; N]) -> Result<(), DraftFull> {
        let text = self.take(texts)?;
        self.edit(cut, text)
    }

    /// Puts an edit into its place; behind those of the same place, as they were made.
    fn edit(&mut self, cut: Span, text: Span) -> Result<(), DraftFull> {
        let later = |edit: &Edit| (edit.cut.start, edit.cut.end) > (cut.start, cut.end);
        let place = self.edits.iter().rposition(|edit| !later(edit)).map_or(0, |before| before + 1);
        self.edits.try_insert(place, Edit { cut, text }).map_err(|_| DraftFull)
    }

    /// No fewer bytes than the message has.
    pub fn bytes_max(&self) -> usize {
        let kept = |part: &Part| if let Part::Message(span) = part { span.len() } else { 0 };
        self.parts.iter().map(kept).sum::<usize>() + self.text.len()
    }

    /// How many bytes the message has, where no edit was made in what another takes out.
    pub fn bytes(&self) -> usize {
        self.bytes_max().saturating_sub(self.edits.iter().map(|edit| edit.cut.len()).sum())
    }

    /// Writes the message into `out` and gives its length; `None` where `out` is too small. `message` is the incoming
    /// message that the parts are of.
    pub fn render(&self, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut out = Output { out, len: 0 };
        for part in &self.parts {
            match part {
                Part::Message(span) => self.render_part(*span, message, &mut out)?,
                Part::Text(span) => out.put(span.of(&self.text))?,
            }
        }
        Some(out.len)
    }

    /// A part of the message with the edits that fall into it.
    fn render_part(&self, part: Span, message: &[u8], out: &mut Output<'_>) -> Option<()> {
        let mut at = part.start;
        for edit in &self.edits {
            if edit.cut.start < at || edit.cut.end > part.end {
                continue;
            }
            out.put(Span { start: at, end: edit.cut.start }.of(message))?;
            out.put(edit.text.of(&self.text))?;
            at = edit.cut.end;
        }
        out.put(Span { start: at, end: part.end }.of(message))
    }

    /// How many texts there are is known when this is compiled, so that short ones are copied without a loop or a call.
    #[inline]
    fn take<const N: usize>(&mut self, texts: [&[u8]; N]) -> Result<Span, DraftFull> {
        let start = self.text.len();
        for text in texts {
            self.text.try_extend_from_slice(text).map_err(|_| DraftFull)?;
        }
        Ok(Span::new(start, self.text.len()))
    }
}

struct Output<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
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
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn edits_may_come_in_any_order() {
        let text = rendered(|draft| {
            draft.replace(Span::new(8, 9), [b"[eight]"])?;
            draft.delete(Span::new(0, 2))?;
            draft.insert(Span::new(5, 5), [b"<"])?;
            draft.insert(Span::new(5, 5), [b"a", b"b"])
        });
        assert_eq!(text, "234<ab567[eight]9");
    }

    #[test]
    fn text_goes_in_at_either_end_and_at_the_edges_of_what_is_taken_out() {
        let text = rendered(|draft| {
            draft.delete(Span::new(3, 6))?;
            draft.insert(Span::new(10, 10), [b"!"])?;
            draft.insert(Span::new(0, 0), [b"^"])?;
            draft.insert(Span::new(3, 3), [b"("])?;
            draft.insert(Span::new(6, 6), [b")"])
        });
        assert_eq!(text, "^012()6789!");
    }

    #[test]
    fn parts_come_in_the_order_they_were_kept_each_with_its_edits() {
        let mut draft = Draft::new();
        draft.keep(Span::new(6, 9)).unwrap();
        draft.write([b"-"]).unwrap();
        draft.keep(Span::new(1, 4)).unwrap();
        draft.insert(Span::new(2, 2), [b"x"]).unwrap();
        draft.replace(Span::new(7, 8), [b"y"]).unwrap();
        let mut out = [0; 16];
        let len = draft.render(MESSAGE, &mut out).unwrap();
        assert_eq!(&out[..len], b"6y8-1x23");
    }

    #[test]
    fn a_buffer_that_is_too_small_gives_nothing() {
        let mut draft = Draft::new();
        draft.keep(Span::new(0, 10)).unwrap();
        assert_eq!(draft.render(MESSAGE, &mut [0; 9]), None);
    }

    #[test]
    fn too_many_parts_edits_or_bytes_are_an_error() {
        let mut draft = Draft::new();
        assert!((0..MAX_PARTS).all(|_| draft.keep(Span::new(0, 1)).is_ok()));
        assert_eq!(draft.keep(Span::new(0, 1)), Err(DraftFull));
        assert!((0..MAX_EDITS).all(|_| draft.insert(Span::new(0, 0), [b"x"]).is_ok()));
        assert_eq!(draft.insert(Span::new(0, 0), [b"x"]), Err(DraftFull));
        assert_eq!(draft.write([&[0; MAX_TEXT_BYTES]]), Err(DraftFull));
    }
}
