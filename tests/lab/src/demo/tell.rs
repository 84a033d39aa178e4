//! How the demo speaks: titles, lines and tables on standard output, in colour on a terminal only.

use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();

/// The story's title.
pub(crate) fn title(text: &str) {
    println!("{BOLD}{text}{BOLD:#}");
}

/// A scene's heading.
pub(crate) fn heading(text: &str) {
    println!("\n{BOLD}{text}{BOLD:#}");
}

/// A line of the story.
pub(crate) fn line(text: &str) {
    println!("  {text}");
}

/// Something that came out as it should.
pub(crate) fn good(text: &str) {
    println!("  {GOOD}✓{GOOD:#} {text}");
}

/// Several lines, as another program printed them.
pub(crate) fn lines(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}

/// A line that was added.
pub(crate) fn added(text: &str) {
    println!("    {GOOD}+ {text}{GOOD:#}");
}

/// A long text, broken between words; its own lines are kept.
pub(crate) fn wrapped(text: &str) {
    const WIDTH: usize = 110;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut current = String::new();
        for word in line.split_whitespace() {
            if !current.is_empty() && indent + current.len() + 1 + word.len() > WIDTH {
                println!("      {:indent$}{current}", "");
                current.clear();
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        println!("      {:indent$}{current}", "");
    }
}

/// A table with a header row; columns are as wide as their widest cell.
pub(crate) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(header.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
        })
        .collect();
    let render = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    println!("    {DIM}{}{DIM:#}", render(&header.map(str::to_owned)));
    for row in rows {
        println!("    {}", render(row));
    }
}

/// `412 ms`
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// `0.41 s`
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
