//! The local workspace as this program uses it: started, and as connections to it.

use std::collections::BTreeMap;

use host_harness::{ConnectionConfig, ErrorKind, Secret};
use local_workspace::{LocalWorkspace, Options};

use crate::failure::{Failure, Result};

/// Names of the connections that the snippet makes and the demo shows.
pub(crate) const WITH_TOKEN: &str = "local";
pub(crate) const WITH_CLIENT: &str = "local-oauth";

pub(crate) fn start(port: u16) -> Result<LocalWorkspace> {
    LocalWorkspace::start(Options { port, ..Options::default() })
        .map_err(|error| Failure::new(ErrorKind::HostIo, error.to_string()))
}

/// A connection with a personal access token, and one with an OAuth client.
pub(crate) fn connections(workspace: &LocalWorkspace) -> [ConnectionConfig; 2] {
    let host = ("host", workspace.origin().to_owned());
    let token = [host.clone(), ("apiKey", workspace.token().to_owned())];
    let client = [
        host,
        ("tokenUrl", workspace.token_url()),
        ("scopes", "all-apis".to_owned()),
        ("clientId", workspace.client_id().to_owned()),
        ("clientSecret", workspace.client_secret().to_owned()),
    ];
    [
        connection(workspace, WITH_TOKEN, "personalAccessToken", token),
        connection(workspace, WITH_CLIENT, "workspaceServicePrincipal", client),
    ]
}

fn connection(
    workspace: &LocalWorkspace,
    name: &str,
    connection_type: &str,
    fields: impl IntoIterator<Item = (&'static str, String)>,
) -> ConnectionConfig {
    let fields = fields.into_iter().map(|(key, text)| (key.to_owned(), Secret::from(text)));
    ConnectionConfig {
        name: name.to_owned(),
        connection_type: connection_type.to_owned(),
        fields: fields.collect::<BTreeMap<_, _>>(),
        allow_http_loopback: true,
        // Where external links lead to. Only on this very machine a link needs the operator's word.
        allow_hosts: vec![workspace.storage_host().to_owned()],
        ..ConnectionConfig::default()
    }
}

/// A connections file for the workspace. Its secrets are good for this workspace alone, and end with it.
pub(crate) fn snippet(workspace: &LocalWorkspace) -> String {
    let tables = connections(workspace).map(|connection| {
        let fields = connection.fields.iter().map(|(key, secret)| {
            // The texts are URLs and ids: TOML's and JSON's strings are the same for them.
            format!("{key} = {}\n", serde_json::Value::from(secret.expose()))
        });
        format!(
            "[{}]\ntype = \"{}\"\n{}allow_http_loopback = true\nallow_hosts = {:?}\n",
            connection.name,
            connection.connection_type,
            fields.collect::<String>(),
            connection.allow_hosts
        )
    });
    format!("[settings]\nconnection = \"{WITH_TOKEN}\"\n\n{}", tables.join("\n"))
}

#[cfg(test)]
mod tests {
    use host_harness::config::{Configuration, Environment};

    use super::*;

    #[test]
    fn the_snippet_is_a_connections_file() {
        let workspace = start(0).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), snippet(&workspace)).unwrap();
        let configuration = Configuration::load(Some(file.path()), Environment::default()).unwrap();
        let names: Vec<_> = configuration.list().unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(names, [WITH_TOKEN, WITH_CLIENT]);
        assert_eq!(configuration.choose(None).unwrap().name, WITH_TOKEN);
    }
}
