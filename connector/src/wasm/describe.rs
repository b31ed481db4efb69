//! The catalog, from the core's types to the contract's. As in `convert.rs`, matches name every case.

use crate::action::{Audience, Effect, Endpoint, Retry};
use crate::connections::{Resolved, Scheme, TokenSource};
use crate::description::{
    ActionDescription, ChoiceDescription, ConnectionDescription, Description,
};

use super::catalog;

impl From<Description> for catalog::Description {
    fn from(description: Description) -> Self {
        Self {
            key: description.key.to_owned(),
            label: description.label.to_owned(),
            description: description.description.to_owned(),
            version: description.version.to_owned(),
            connections: description.connections.into_iter().map(Into::into).collect(),
            connection_test: description.connection_test.to_owned(),
            actions: description.actions.into_iter().map(Into::into).collect(),
            choices: description.choices.into_iter().map(Into::into).collect(),
            triggers: Vec::new(),
            credential_endpoints: description.credential_endpoints.iter().map(endpoint).collect(),
        }
    }
}

impl From<ConnectionDescription> for catalog::ConnectionType {
    fn from(connection: ConnectionDescription) -> Self {
        let ConnectionDescription { key, label, description, scheme, secret, schema } = connection;
        let scheme = match scheme {
            Scheme::BearerToken => catalog::AuthScheme::BearerToken,
            Scheme::ClientCredentials => catalog::AuthScheme::ClientCredentials,
        };
        Self { key: key.to_owned(), label, description, scheme, secret: secret.to_owned(), schema }
    }
}

impl From<ActionDescription> for catalog::Action {
    fn from(action: ActionDescription) -> Self {
        Self {
            key: action.key.to_owned(),
            label: action.label,
            description: action.description,
            group: action.group.to_owned(),
            effect: match action.effect {
                Effect::Reads => catalog::Effect::Reads,
                Effect::Writes => catalog::Effect::Writes,
                Effect::Destroys => catalog::Effect::Destroys,
            },
            input_schema: action.input_schema,
            output_schema: action.output_schema,
            example: action.example,
            endpoints: action.endpoints.iter().map(endpoint).collect(),
        }
    }
}

impl From<ChoiceDescription> for catalog::ChoiceSource {
    fn from(source: ChoiceDescription) -> Self {
        let ChoiceDescription { key, label, input_schema, endpoints } = source;
        Self {
            key: key.to_owned(),
            label: label.to_owned(),
            input_schema,
            endpoints: endpoints.iter().map(endpoint).collect(),
        }
    }
}

fn endpoint(endpoint: &Endpoint) -> catalog::Endpoint {
    catalog::Endpoint {
        method: endpoint.method.to_owned(),
        path: endpoint.path.to_owned(),
        audience: match endpoint.audience {
            Audience::Workspace => catalog::Audience::Workspace,
            Audience::Account => catalog::Audience::Account,
            Audience::SignedLink => catalog::Audience::SignedLink,
        },
        retry: match endpoint.retry {
            Retry::Safe => catalog::RetryClass::Safe,
            Retry::Keyed => catalog::RetryClass::Keyed,
            Retry::Convergent => catalog::RetryClass::Convergent,
            Retry::Reconcile => catalog::RetryClass::Reconcile,
            Retry::Never => catalog::RetryClass::Never,
            Retry::Manual => catalog::RetryClass::Manual,
        },
    }
}

impl From<Resolved> for catalog::ResolvedConnection {
    fn from(resolved: Resolved) -> Self {
        let Resolved { fields, workspace, token } = resolved;
        Self {
            fields: fields.to_string(),
            origin: workspace.origin,
            account_origin: workspace.account_origin,
            token: token.map(Into::into),
        }
    }
}

impl From<TokenSource> for catalog::TokenSource {
    fn from(token: TokenSource) -> Self {
        let TokenSource { url, client_id, scopes } = token;
        Self { url, client_id, scopes }
    }
}
