//! Rows and columns of text, as wide as what stands in them.

use std::fmt::Write;

/// A column's heading, and whether its cells stand at its right end, as figures do.
pub(super) type Column = (&'static str, bool);

/// The table: a line of headings, and one for each row.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(columns[at].0.len())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let headings: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for ((cell, width), (_, is_right)) in row.iter().zip(&widths).zip(columns) {
            let _ = match is_right {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows = [vec!["alpha".to_owned(), "1".to_owned()], vec!["b".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&[("name", false), ("n", true)], &rows), "name      n\nalpha     1\nb      1000\n");
        assert_eq!(table(&[("name", false), ("weight", true)], &[]), "name  weight\n");
    }
}
