//! What credentials cost: token requests of many callers at once, and how soon wrong ones are told.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use host_harness::{ConnectionConfig, Harness, Secret};
use tokio::task::LocalSet;

use crate::figures::{ms, report};
use crate::get_cluster::by_harness;
use crate::rig::{self, Rig};

pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        for callers in [100, 1_000] {
            cold_callers(callers).await?;
        }
        wrong_credentials().await
    })
}

async fn cold_callers(callers: usize) -> Result<()> {
    let rig = Rig::start()?;
    let mut settings = rig.settings();
    settings.limits.requests_per_second = 0;
    let harness = std::rc::Rc::new(Harness::load(&rig::component()?, settings)?);
    let connection =
        harness.connect(service_principal(&rig, rig.workspace.client_secret())).await?;
    let calls: Vec<_> = (0..callers)
        .map(|_| {
            let (harness, connection) = (harness.clone(), connection.clone());
            let cluster = rig.cluster().to_owned();
            tokio::task::spawn_local(
                async move { by_harness(&harness, &connection, &cluster).await },
            )
        })
        .collect();
    for call in calls {
        call.await??;
    }
    let figures = format!("{} token requests", rig.workspace.tokens_issued());
    report(&format!("tokens: {callers} callers at once"), &figures, "1");
    Ok(())
}

/// The time to the error, beside that of a call that succeeds.
async fn wrong_credentials() -> Result<()> {
    let rig = Rig::start()?;
    let harness = Harness::load(&rig::component()?, rig.settings())?;
    let mut token = rig.connection_to(rig.workspace.origin());
    token.fields.insert("apiKey".to_owned(), Secret::from("dapi-not-the-right-one"));
    let mut host = rig.connection_to("http://127.0.0.1:9");
    host.name = "host".to_owned();
    let secret = service_principal(&rig, "not-the-right-secret");
    for (what, config) in [("token", token), ("host", host), ("client secret", secret)] {
        let connection = harness.connect(config).await?;
        let time = failing(&harness, &connection, rig.cluster()).await?;
        report(&format!("tokens: wrong {what} to its error"), &ms(time), "1 round trip + 100 ms");
    }
    Ok(())
}

async fn failing(
    harness: &Harness,
    connection: &host_harness::Connection,
    cluster: &str,
) -> Result<Duration> {
    let started = Instant::now();
    let outcome = by_harness(harness, connection, cluster).await;
    ensure!(outcome.is_err(), "wrong credentials were accepted");
    Ok(started.elapsed())
}

fn service_principal(rig: &Rig, secret: &str) -> ConnectionConfig {
    let fields = [
        ("tokenUrl", rig.workspace.token_url()),
        ("scopes", "all-apis".to_owned()),
        ("clientId", rig.workspace.client_id().to_owned()),
        ("clientSecret", secret.to_owned()),
    ];
    ConnectionConfig {
        connection_type: "workspaceServicePrincipal".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::new(value))).into(),
        ..rig.connection_to(rig.workspace.origin())
    }
}
