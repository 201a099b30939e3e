//! The help texts, made of the tables of commands and flags.

use super::command::{SUBCOMMANDS, Subcommand};
use super::flags::flag;

const WIDTH: usize = 88;

/// How far the descriptions of flags stand from the left.
const INDENT: usize = 10;

/// Help about a command, or about all.
pub fn text(command: Option<&Subcommand>) -> String {
    match command {
        Some(command) => about(command),
        None => overview(),
    }
}

fn overview() -> String {
    let mut out = String::from(
        "headwater: a telemetry agent that processes streams where they spring\n\n\
         usage: headwater [COMMAND] [FLAGS]\n\ncommands:\n",
    );
    for command in SUBCOMMANDS {
        out.push_str(&format!("  {:<16}{}\n", command.words.join(" "), command.summary));
    }
    out.push_str("\nflags of `run`:\n");
    flags(&mut out, &SUBCOMMANDS[0]);
    out.push_str(
        "\n`headwater help COMMAND` tells about the others. One dash is as good as two.\n",
    );
    out
}

fn about(command: &Subcommand) -> String {
    let words = command.words.join(" ");
    let mut out = format!("headwater {words}: {}\n\nusage: headwater {words}", command.summary);
    if !command.flags.is_empty() {
        out.push_str(" [FLAGS]");
    }
    if !command.arguments.is_empty() {
        out.push_str(&format!(" {}", command.arguments));
    }
    out.push('\n');
    if !command.doc.is_empty() {
        out.push('\n');
        wrapped(&mut out, command.doc, 0);
    }
    if !command.flags.is_empty() {
        out.push_str("\nflags:\n");
        flags(&mut out, command);
    }
    out
}

fn flags(out: &mut String, command: &Subcommand) {
    for flag in command.flags.iter().filter_map(|name| flag(name)) {
        let value = flag.value.map_or_else(String::new, |value| format!(" {value}"));
        out.push_str(&format!("  --{}{value}\n", flag.name));
        wrapped(out, flag.doc, INDENT);
    }
}

fn wrapped(out: &mut String, text: &str, indent: usize) {
    let mut line = " ".repeat(indent);
    for word in text.split_whitespace() {
        if line.len() > indent && line.len() + word.len() >= WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(indent);
        }
        line.push_str(word);
        line.push(' ');
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_every_command_and_flag() {
        let overview = text(None);
        for command in SUBCOMMANDS {
            assert!(overview.contains(command.summary), "{command:?}");
            let about = text(Some(command));
            assert!(about.contains(&command.words.join(" ")));
            for name in command.flags {
                assert!(about.contains(&format!("  --{name}")), "{command:?} {name}");
            }
            assert!(about.lines().all(|line| line.len() <= WIDTH), "{about}");
        }
        assert!(overview.lines().all(|line| line.len() <= WIDTH), "{overview}");
    }

    #[test]
    fn long_texts_are_wrapped() {
        let mut out = String::new();
        wrapped(&mut out, &"word ".repeat(20), 4);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.starts_with("    word") && line.len() < WIDTH));
    }
}
