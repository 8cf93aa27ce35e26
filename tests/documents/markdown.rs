//! The fenced blocks of a Markdown file.
//!
//! Knows three kinds: ```` ```toml NAME ```` is a whole configuration file, ```` ```console ```` is commands and what
//! they print, anything else is for reading. Does not know what is done with them.

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// A configuration and the name of its file.
    Configuration { name: String, text: String },
    /// Commands in the order they are typed.
    Console(Vec<Command>),
    /// For reading.
    Other(String),
}

/// A line that begins with `$ `, and the lines it is said to print.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    pub line: String,
    pub prints: Vec<String>,
}

/// Every fenced block, in order.
///
/// # Panics
/// A block does not end, a `toml` block names no file, or a `console` block does not begin with a command.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut content = Vec::new();
        loop {
            match lines.next() {
                Some("```") => break,
                Some(line) => content.push(line),
                None => panic!("the block ```{info} does not end"),
            }
        }
        blocks.push(block(info, &content));
    }
    blocks
}

fn block(info: &str, content: &[&str]) -> Block {
    match info.split_once(' ').unwrap_or((info, "")) {
        ("toml", "") => panic!("a toml block names no file: ```toml NAME\n{}", content.join("\n")),
        ("toml", name) => Block::Configuration { name: name.to_owned(), text: content.join("\n") + "\n" },
        ("console", _) => Block::Console(commands(content)),
        _ => Block::Other(info.to_owned()),
    }
}

fn commands(content: &[&str]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in content {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(line), _) => commands.push(Command { line: line.to_owned(), prints: Vec::new() }),
            (None, Some(command)) => command.prints.push((*line).to_owned()),
            (None, None) => panic!("a console block begins with a command, not with {line:?}"),
        }
    }
    commands
}

#[test]
fn blocks_are_told_apart_by_their_fences() {
    let text = "a\n```toml x.toml\na = 1\n```\n```console\n$ one\nsaid\n$ two\n```\n```text\n$ no\n```\n";
    let command = |line: &str, prints: &[&str]| Command {
        line: line.into(),
        prints: prints.iter().map(|&p| p.into()).collect(),
    };
    assert_eq!(
        blocks(text),
        [
            Block::Configuration { name: "x.toml".into(), text: "a = 1\n".into() },
            Block::Console(vec![command("one", &["said"]), command("two", &[])]),
            Block::Other("text".into()),
        ]
    );
}

#[test]
#[should_panic(expected = "names no file")]
fn a_configuration_without_a_name_is_a_mistake() {
    blocks("```toml\na = 1\n```\n");
}

#[test]
#[should_panic(expected = "does not end")]
fn a_block_without_an_end_is_a_mistake() {
    blocks("```console\n$ one\n");
}
