//! Columns that line up, also where a character is two wide.

use unicode_width::UnicodeWidthStr;

/// Rows as lines whose columns begin below each other, two spaces apart.
pub(crate) fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The text on one line, without control characters: what a target system said must not steer the terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lines = align(&[row(["编号", "状态", "x"]), row(["a", "open", ""]), row(["银行存款", "", "y"])]);
        assert_eq!(lines, ["编号      状态  x", "a         open", "银行存款        y"]);
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\u{9b}"), "a [2Jb c ");
    }
}
