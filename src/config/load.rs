//! A file -> a [`Config`]: where it is looked for, and how it is read.
//!
//! Knows the search order and the environment. Does not know any key (`keys`) or what makes values fit (`validate`).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;
use zeroize::Zeroizing;

use super::{Config, Problems, keys, problems::Problem, reader::Reader, source::Source, validate};
use crate::{ca::Files, oauth::discovery::Issuer};

/// A configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration itself.
    pub config: Config,
    /// The file.
    pub path: PathBuf,
    /// What an operator should know, though it works.
    pub warnings: Problems,
    /// SHA-256 of the file's content.
    pub digest: [u8; 32],
    /// Further files whose content has become part of the configuration: certificates and keys. (Secret files have not:
    /// they are read at each use.)
    pub files: Vec<PathBuf>,
    /// The environment variables that secrets were read from.
    pub variables: Vec<String>,
}

/// An environment: name to value.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Finds and reads the configuration: `explicit`, else `$BEARWARD_CONFIG`, `./bearward.toml`,
    /// `$XDG_CONFIG_HOME/bearward/bearward.toml`, `/etc/bearward/bearward.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, a file that is not there included.
    pub fn load(explicit: Option<&Path>) -> Result<Loaded, Problems> {
        Self::load_with(explicit, &process_environment)
    }

    /// [`Config::load`] for whoever adds a forward proxy of their own: upstreams need no other way in, and the local CA need not be
    /// there yet; it is not opened.
    ///
    /// # Errors
    /// As there.
    pub fn load_for_proxy(explicit: Option<&Path>) -> Result<Loaded, Problems> {
        load(explicit, &process_environment, true)
    }

    /// [`Config::load`] in an environment of the caller's.
    ///
    /// # Errors
    /// As there.
    pub fn load_with(explicit: Option<&Path>, env: Environment<'_>) -> Result<Loaded, Problems> {
        load(explicit, env, false)
    }

    /// Whether there is a configuration in one of the places where it is looked for.
    pub fn is_there() -> bool {
        find(None, &process_environment).is_ok()
    }

    /// Reads a configuration from a text; `name` stands for its file, and relative paths start from its folder.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, name: &str) -> Result<Loaded, Problems> {
        Self::parse_with(text, name, &process_environment)
    }

    /// [`Config::parse`] in an environment of the caller's.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(text: &str, name: &str, env: Environment<'_>) -> Result<Loaded, Problems> {
        read(text, name, env, false)
    }
}

/// Where the local CA is, unless the configuration says otherwise: `ca.pem` and `ca.key` in the folder of what survives a restart.
pub fn default_authority(env: Environment<'_>) -> Files {
    Files::in_folder(&state_folder(env))
}

/// The folder of what survives a restart: `$XDG_STATE_HOME/bearward`, else `~/.local/state/bearward`, else `/var/lib/bearward`.
pub(super) fn state_folder(env: Environment<'_>) -> PathBuf {
    let folder = |name: &str| env(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    state.unwrap_or_else(|| "/var/lib".into()).join("bearward")
}

/// SHA-256 of a configuration file's content: whether it has changed.
pub fn digest(content: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content).as_ref());
    octets
}

/// The issuer of the only token of a configuration that is not whole yet.
///
/// # Errors
/// Everything that is wrong with how it is named and reached.
pub(super) fn issuer(text: &str, name: &str, env: Environment<'_>) -> Result<Arc<Issuer>, Problems> {
    let source = Source::new(name, text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(&source, env);
    let file = reader.table("", 0..0, document.get_ref(), keys::FILE);
    if !syntax.is_empty() {
        return Err(with_syntax(reader, &syntax));
    }
    validate::issuer(&mut reader, &file).ok_or_else(|| reader.problems.sorted().0)
}

fn load(explicit: Option<&Path>, env: Environment<'_>, proxy_is_added: bool) -> Result<Loaded, Problems> {
    let path = find(explicit, env)?;
    let text = fs::read_to_string(&path).map(Zeroizing::new).map_err(|error| unreadable(&path, &error))?;
    read(&text, &path.to_string_lossy(), env, proxy_is_added).map(|loaded| Loaded { path, ..loaded })
}

fn read(text: &str, name: &str, env: Environment<'_>, proxy_is_added: bool) -> Result<Loaded, Problems> {
    let mut source = Source::new(name, text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    source.mask(document.get_ref(), keys::FILE, !syntax.is_empty());
    let mut reader = Reader { proxy_is_added, ..Reader::new(&source, env) };
    let file = reader.table("", 0..0, document.get_ref(), keys::FILE);
    if !syntax.is_empty() {
        return Err(with_syntax(reader, &syntax));
    }
    let config = validate::config(&mut reader, &file);
    let Reader { problems, files, variables, .. } = reader;
    let (errors, warnings) = problems.sorted();
    match config {
        Some(config) if errors.is_empty() => Ok(Loaded {
            config,
            path: name.into(),
            warnings,
            digest: digest(text.as_bytes()),
            files,
            variables,
        }),
        _ => Err(errors),
    }
}

/// Where syntax is broken, what the parser made of the rest is trusted only as far as single values go.
fn with_syntax(reader: Reader<'_>, syntax: &[toml::de::Error]) -> Problems {
    let Reader { source, mut problems, .. } = reader;
    let places: Vec<_> =
        syntax.iter().map(|error| source.place(error.span().unwrap_or_default(), "")).collect();
    let lines: Vec<_> = places.iter().map(|place| place.line).collect();
    problems.without_lines(&lines);
    for (error, place) in syntax.iter().zip(places) {
        let fix = match error.message() {
            message if message.starts_with("duplicate key") => "it is there twice: remove one of the two",
            _ => "texts stand in quotes, lists in [ ], tables in { } or below a [header]",
        };
        let title = format!("this is not TOML: {}", error.message());
        problems.push(Problem::error(title).at(place).fix(fix));
    }
    problems.sorted().0
}

fn find(explicit: Option<&Path>, env: Environment<'_>) -> Result<PathBuf, Problems> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("BEARWARD_CONFIG") {
        return Ok(path);
    }
    let home = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let mut places = vec![PathBuf::from("./bearward.toml")];
    places.extend(home.map(|home| home.join("bearward/bearward.toml")));
    places.push("/etc/bearward/bearward.toml".into());
    if let Some(path) = places.iter().find(|path| path.exists()) {
        return Ok(path.clone());
    }
    let list: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
    let problem = Problem::error(format!("there is no configuration: {} do not exist", list.join(", ")))
        .fix("write one with `bearward init`, or name one with -c FILE or in BEARWARD_CONFIG");
    Err(one(problem))
}

fn unreadable(path: &Path, error: &io::Error) -> Problems {
    let (what, fix) = match error.kind() {
        io::ErrorKind::NotFound => {
            ("it does not exist".to_owned(), "name a file that does with -c FILE or in BEARWARD_CONFIG")
        }
        io::ErrorKind::InvalidData => ("it is not UTF-8".to_owned(), "save it as UTF-8"),
        _ => (error.to_string(), "it must be a file that this user may read"),
    };
    one(Problem::error(format!("cannot read the configuration {}: {what}", path.display())).fix(fix))
}

fn one(problem: Problem) -> Problems {
    let mut problems = Problems::default();
    problems.push(problem);
    problems
}

fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
