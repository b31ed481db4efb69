//! Connections: what an operator configures, and what it becomes once the connector has checked it. Nothing is sent here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::bindings::{catalog, types};
use crate::client::{self, Client, Trust};
use crate::description::{Action, AuthScheme, ConnectionType, Description, Effect};
use crate::dial::Grounds;
use crate::dns::Resolver;
use crate::egress::Egress;
use crate::error::{Error, ErrorKind};
use crate::origin::{self, Origin};
use crate::pace::Paces;
use crate::policy::{ListedHost, Reach};
use crate::rules::Rules;
use crate::secret::SecretSource;
use crate::settings::Limits;
use crate::tokens::{self, Credentials, Endpoint, FixedToken, KeptSecret, TokenSource};
use crate::{Clock, Secret, names};

/// A connection as an operator writes it down.
#[derive(Debug, Clone, Default)]
pub struct ConnectionConfig {
    /// Name of the connection, for messages.
    pub name: String,
    /// Key of a connection type of the catalog.
    pub connection_type: String,
    /// The type's inputs by their keys. The one that the catalog calls secret stays in the host.
    pub fields: BTreeMap<String, Secret>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Accepts `http://` for this very machine.
    pub allow_http_loopback: bool,
    /// Further hosts (`host` or `host:port`) that actions may reach, never with the connection's credentials.
    pub allow_hosts: Vec<String>,
    /// Accepts hosts whose addresses are on private networks or this very machine, as those of private links are.
    pub allow_private_addresses: bool,
    /// Lets out requests that make or show credentials, as the connector's catalog lists them.
    pub allow_credential_endpoints: bool,
    /// The keys of the only actions that may run. None allows all.
    pub allow_actions: Option<Vec<String>>,
    /// Lets out nothing that changes something: only GET, HEAD and OPTIONS, and only actions that read.
    pub read_only: bool,
    /// Paths that no request may have: `/api/2.0/secrets/*` is that path and all below, `{name}` any one segment.
    pub deny_paths: Vec<String>,
    /// Where the secret is read again when the service refuses the one in `fields`. Without one, a new secret takes a new
    /// connection.
    pub secret_source: Option<Arc<dyn SecretSource>>,
}

/// A connection that passed the connector's check, with its pool of TCP connections and its tokens. Clones share both.
#[derive(Debug, Clone)]
pub struct Connection {
    name: String,
    pub(crate) connection_type: String,
    /// The public fields, as JSON text.
    pub(crate) fields: String,
    pub(crate) egress: Arc<Egress>,
    allow_actions: Option<Vec<String>>,
    origin: String,
}

impl Connection {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key of the connection's type.
    pub fn connection_type(&self) -> &str {
        &self.connection_type
    }

    /// Scheme, host and, where it is not the scheme's own, port of the service.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the operator lets an action run at all; what it may send is decided request by request.
    pub(crate) fn permits(&self, action: &Action) -> Result<(), Error> {
        let key = &action.key;
        let why = if self.allow_actions.as_ref().is_some_and(|allowed| !allowed.contains(key)) {
            "its allow_actions do not have it"
        } else if self.egress.reach.rules.read_only && !may_read(action) {
            "it is read_only, and the action changes something"
        } else {
            return Ok(());
        };
        let message = format!("connection {:?} does not allow the action {key}: {why}", self.name);
        Err(Error::new(ErrorKind::Refused, message))
    }

    pub(crate) fn for_guest(&self) -> types::Connection {
        types::Connection {
            connection_type: self.connection_type.clone(),
            fields: self.fields.clone(),
        }
    }
}

/// True for actions that change nothing, and for those whose requests their users make up.
fn may_read(action: &Action) -> bool {
    action.effect == Effect::Reads || action.endpoints.iter().any(|e| e.method == "*")
}

/// A connection's fields, split into what the connector sees and what it does not.
pub(crate) struct Split {
    pub(crate) public: types::Connection,
    secret: Secret,
    secret_key: String,
    scheme: AuthScheme,
}

/// Takes the secret out, after checking that the fields are those of the type.
pub(crate) fn split(config: &ConnectionConfig, catalog: &Description) -> Result<Split, Error> {
    let invalid = |why: String| refused(config, &why);
    let types = catalog.connections.iter().map(|ty| ty.key.as_str());
    let ty = catalog.connection(&config.connection_type).ok_or_else(|| {
        invalid(names::unknown("connection type", &config.connection_type, types))
    })?;
    let known = inputs(ty)?;
    let mut public = Map::new();
    for (key, value) in &config.fields {
        if !known.contains_key(key) {
            let known = known.keys().map(String::as_str);
            return Err(invalid(names::unknown(&format!("input of {}", ty.key), key, known)));
        }
        if *key != ty.secret {
            public.insert(key.clone(), Value::String(value.expose().to_owned()));
        }
    }
    let secret = config.fields.get(&ty.secret).map(|secret| secret.expose().trim());
    let secret = secret.filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(|| invalid(format!("{} is missing", ty.secret)))?;
    let check = check_of(ty.scheme);
    check(secret).map_err(|why| invalid(format!("{} {why}", ty.secret)))?;
    let fields = Value::Object(public).to_string();
    if fields.contains(secret) {
        return Err(invalid(format!("the value of {} also stands in another input", ty.secret)));
    }
    Ok(Split {
        public: types::Connection { connection_type: ty.key.clone(), fields },
        secret: Secret::from(secret),
        secret_key: ty.secret.clone(),
        scheme: ty.scheme,
    })
}

/// What a secret has to be like to be used.
fn check_of(scheme: AuthScheme) -> fn(&str) -> Result<(), String> {
    match scheme {
        AuthScheme::BearerToken => tokens::check_token,
        AuthScheme::ClientCredentials => tokens::check_length,
    }
}

fn inputs(ty: &ConnectionType) -> Result<Map<String, Value>, Error> {
    let schema: Result<Value, _> = serde_json::from_str(ty.schema.get());
    match schema.ok().as_mut().and_then(|schema| schema.get_mut("properties")) {
        Some(Value::Object(properties)) => Ok(std::mem::take(properties)),
        _ => {
            let message = format!("the connector is faulty: {} has no inputs", ty.key);
            Err(Error::new(ErrorKind::ComponentInvalid, message))
        }
    }
}

/// What all connections of a harness have in common.
pub(crate) struct Surroundings<'a> {
    pub(crate) catalog: &'a Description,
    pub(crate) resolver: &'a Resolver,
    pub(crate) limits: &'a Arc<Limits>,
    pub(crate) clock: &'a Clock,
    pub(crate) paces: &'a Paces,
}

/// Makes a connection out of what the connector found.
pub(crate) fn build(
    config: ConnectionConfig,
    split: Split,
    resolved: catalog::ResolvedConnection,
    surroundings: &Surroundings<'_>,
) -> Result<Connection, Error> {
    let Surroundings { catalog, resolver, limits, clock, paces } = *surroundings;
    check_actions(&config, catalog)?;
    let reach = Reach {
        workspace: trusted(&config, &resolved.origin)?,
        account: resolved.account_origin.map(|url| trusted(&config, &url)).transpose()?,
        listed: listed(&config)?,
        http_loopback: config.allow_http_loopback,
        rules: rules(&config, catalog)?,
    };
    let token = match resolved.token {
        Some(token) => Some((trusted(&config, &token.url)?, token)),
        None => None,
    };
    let all_http = !reach.workspace.https
        && reach.listed.is_empty()
        && reach.account.as_ref().is_none_or(|account| !account.https)
        && token.as_ref().is_none_or(|(origin, _)| !origin.https);
    let trust = match &config.ca_file {
        Some(path) => Trust::File(path),
        None if all_http => Trust::None,
        None => Trust::System,
    };
    let grounds = grounds(&config, &reach, token.as_ref().map(|(origin, _)| origin));
    let client = client::new(&trust, resolver.clone(), grounds, limits)?;
    let token = token.map(|(_, token)| token);
    let check = check_of(split.scheme);
    let source = config.secret_source.clone();
    let kept = KeptSecret::new(split.secret_key, split.secret, source, check, clock.clone());
    let credentials = credentials(&config, split.scheme, kept, token, &client, limits, clock)?;
    let origin = reach.workspace.to_string();
    let pace = paces.of(&origin, limits, clock);
    // Whoever makes the same connection twice is still one among those who take turns.
    let line = format!("{} {} {}", config.name, split.public.connection_type, resolved.fields);
    let limits = Arc::clone(limits);
    RawValue::from_string(resolved.fields.clone())
        .map_err(|_| refused(&config, "the connector is faulty: its public fields are not JSON"))?;
    Ok(Connection {
        name: config.name,
        connection_type: split.public.connection_type,
        fields: resolved.fields,
        egress: Arc::new(Egress { reach, credentials, client, pace, line: line.into(), limits }),
        allow_actions: config.allow_actions,
        origin,
    })
}

/// An action that is not there cannot be allowed: more likely its name is mistyped.
fn check_actions(config: &ConnectionConfig, catalog: &Description) -> Result<(), Error> {
    let mut allowed = config.allow_actions.iter().flatten();
    let Some(unknown) = allowed.find(|key| catalog.action(key).is_none()) else { return Ok(()) };
    let known = catalog.actions.iter().map(|action| action.key.as_str());
    let why = names::unknown("action", unknown, known);
    Err(refused(config, &format!("allow_actions: {why}")))
}

fn rules(config: &ConnectionConfig, catalog: &Description) -> Result<Rules, Error> {
    let guarded = match config.allow_credential_endpoints {
        true => &[],
        false => catalog.credential_endpoints.as_slice(),
    };
    Rules::new(config.read_only, &config.deny_paths, guarded).map_err(|why| refused(config, &why))
}

/// Where the connection may be at all. On this very machine are only the origins that say so themselves.
fn grounds(config: &ConnectionConfig, reach: &Reach, token: Option<&Origin>) -> Grounds {
    let own = [Some(&reach.workspace), reach.account.as_ref(), token].into_iter().flatten();
    let own = own.filter(|origin| origin.is_loopback()).map(ListedHost::from);
    let listed = reach.listed.iter().filter(|listed| listed.is_loopback()).cloned();
    let loopback =
        if config.allow_http_loopback { own.chain(listed).collect() } else { Vec::new() };
    Grounds { private: config.allow_private_addresses, loopback }
}

fn credentials(
    config: &ConnectionConfig,
    scheme: AuthScheme,
    kept: KeptSecret,
    token: Option<catalog::TokenSource>,
    client: &Client,
    limits: &Limits,
    clock: &Clock,
) -> Result<Credentials, Error> {
    match (scheme, token) {
        (AuthScheme::BearerToken, None) => {
            let token = FixedToken::new(kept)
                .ok_or_else(|| refused(config, "the secret does not fit into a header"))?;
            Ok(Credentials::Fixed(Box::new(token)))
        }
        (AuthScheme::ClientCredentials, Some(token)) => {
            let url = origin::read(&token.url).map_err(|why| refused(config, why))?;
            let endpoint = Endpoint {
                client: client.clone(),
                url,
                client_id: token.client_id,
                scopes: token.scopes,
                limit: limits.token,
                clock: clock.clone(),
                in_body: false.into(),
            };
            let source = TokenSource::new(endpoint, kept, clock.clone());
            Ok(Credentials::Exchanged(Arc::new(source)))
        }
        (AuthScheme::BearerToken, Some(_)) | (AuthScheme::ClientCredentials, None) => {
            Err(refused(config, "the connector is faulty: its connection does not fit its catalog"))
        }
    }
}

/// An origin that may get credentials: https, or this very machine where that is allowed, and named by the operator.
///
/// The connector computes origins, but it must not choose them: otherwise it could have a secret sent anywhere.
fn trusted(config: &ConnectionConfig, url: &str) -> Result<Origin, Error> {
    let origin = Origin::parse(url).map_err(|why| refused(config, &format!("{url}: {why}")))?;
    if !origin.https && !origin.is_loopback() {
        return Err(refused(config, &format!("{url} is not https")));
    }
    if !origin.https && !config.allow_http_loopback {
        let why =
            format!("{url} is not https; to allow http on this machine, set allow_http_loopback");
        return Err(refused(config, &why));
    }
    let named = config.fields.values().any(|value| names_host(value.expose(), &origin.host));
    if named {
        return Ok(origin);
    }
    let why = format!("the connector would send credentials to {origin}, which no input names");
    Err(refused(config, &why))
}

/// True when a text has the host in it as a whole, not as a part of a longer name.
fn names_host(text: &str, host: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '.');
    text.match_indices(host).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + host.len()..).and_then(|after| after.chars().next());
        !part(before) && !part(after)
    })
}

fn listed(config: &ConnectionConfig) -> Result<Vec<ListedHost>, Error> {
    let parse = |host: &String| {
        ListedHost::parse(host).ok_or_else(|| {
            refused(config, &format!("allow_hosts: {host:?} is not a host or host:port"))
        })
    };
    config.allow_hosts.iter().map(parse).collect()
}

pub(crate) fn refused(config: &ConnectionConfig, why: &str) -> Error {
    let message = match config.name.as_str() {
        "" => format!("connection: {why}"),
        name => format!("connection {name:?}: {why}"),
    };
    Error::new(ErrorKind::InvalidConnection, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_as_a_whole_only() {
        for (text, named) in [
            ("work.test", true),
            ("https://Work.Test/?o=1", true),
            ("https://work.test:8443/oidc", true),
            ("mywork.test", false),
            ("work.test.evil.test", false),
            ("my-work.test", false),
        ] {
            assert_eq!(names_host(text, "work.test"), named, "{text}");
        }
    }
}
