//! `proxy`: the outer proxy that origins are reached through.

use crate::{
    config::{
        problems::Problem,
        reader::{Reader, Table},
        values::Value,
    },
    secret::{Secret, SecretSource},
    upstream::{Origin, Outer, OuterProxy},
};

const KEY: &str = "proxy";
const FIX: &str = "write \"env\", \"none\" or \"http://user:password@host:port\"";

/// How the origins of a table are reached; as the environment says, where the table does not. `None` where a problem was reported.
pub(super) fn outer(reader: &mut Reader<'_>, table: &Table) -> Option<Outer> {
    let Some(Value::Secret(source)) = table.value(KEY) else {
        return (!table.has(KEY)).then(|| Outer::of_environment(reader.env));
    };
    let url = match source.read() {
        Ok(url) => url,
        Err(error) => {
            let problem = Problem::error(format!("`{KEY}`: {error}"));
            reader.report(problem.fix("the file must be there, readable and not empty"), table.at(KEY), "");
            return None;
        }
    };
    if let SecretSource::File(path) = source {
        reader.files.push(path.clone());
    }
    if url == Secret::new("env") {
        return Some(Outer::of_environment(reader.env));
    }
    if url == Secret::new("none") {
        return Some(Outer::None);
    }
    match Outer::fixed(&url) {
        Ok(outer) => Some(outer),
        Err(problem) => {
            reader.report(Problem::error(format!("`{KEY}`: {problem}")).fix(FIX), table.at(KEY), "");
            None
        }
    }
}

/// The proxy on the way to `origin`. `None` where a problem was reported.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
pub(super) fn towards(
    reader: &mut Reader<'_>,
    table: &Table,
    outer: &Outer,
    origin: &Origin,
) -> Option<Option<OuterProxy>> {
    match outer.towards(origin) {
        Ok(proxy) => Some(proxy),
        // What is written was looked at already: this is of the environment.
        Err(problem) => {
            let title = format!(
                "the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) names a proxy for {origin}: {problem}"
            );
            let at = if table.has(KEY) { table.at(KEY) } else { table.at.clone() };
            let fix = format!(
                "set proxy = \"none\" or \"http://host:port\" in [{}], or another proxy there",
                table.name
            );
            reader.report(Problem::error(title).fix(fix), at, "");
            None
        }
    }
}
