//! What the harness says about connections before anything is sent.

use host_harness::{ConnectionConfig, ErrorKind, Secret};

use crate::fixtures::{TOKEN, config, harness};

async fn refusal(change: impl FnOnce(&mut ConnectionConfig)) -> String {
    let mut config = config("http://127.0.0.1:1");
    change(&mut config);
    let error = harness().connect(config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidConnection, "{error}");
    assert!(!error.message.contains(TOKEN), "{error}");
    assert!(error.message.starts_with("connection \"test\": "), "{error}");
    error.message
}

fn field(config: &mut ConnectionConfig, key: &str, value: &str) {
    config.fields.insert(key.to_owned(), Secret::from(value));
}

#[tokio::test]
async fn an_unknown_type_lists_the_types() {
    let message = refusal(|config| config.connection_type = "tokn".to_owned()).await;
    assert!(message.contains("did you mean token?"), "{message}");
}

#[tokio::test]
async fn an_unknown_input_lists_near_ones() {
    let message = refusal(|config| field(config, "hots", "x")).await;
    assert!(message.contains("no input of token \"hots\""), "{message}");
    assert!(message.contains("host"), "{message}");
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    assert!(refusal(|config| field(config, "token", " ")).await.contains("token is missing"));
}

#[tokio::test]
async fn a_secret_that_fits_no_header_is_not_shown() {
    let message = refusal(|config| field(config, "token", "two words")).await;
    assert!(message.contains("no token has") && !message.contains("words"), "{message}");
}

#[tokio::test]
async fn a_secret_in_another_input_stays_outside() {
    let message = refusal(|config| field(config, "host", &format!("https://{TOKEN}.test"))).await;
    assert!(message.contains("also stands in another input"), "{message}");
}

#[tokio::test]
async fn the_connector_has_its_say() {
    assert!(refusal(|config| field(config, "host", "")).await.ends_with("host: it is empty"));
}

#[tokio::test]
async fn http_is_for_this_machine_and_on_demand() {
    let message = refusal(|config| config.allow_http_loopback = false).await;
    assert!(message.contains("set allow_http_loopback"), "{message}");
    let message = refusal(|config| field(config, "host", "http://work.test")).await;
    assert!(message.contains("is not https"), "{message}");
}

#[tokio::test]
async fn a_connector_does_not_choose_where_credentials_go() {
    let message = refusal(|config| config.connection_type = "thief".to_owned()).await;
    assert!(message.contains("https://evil.test, which no input names"), "{message}");
}

#[tokio::test]
async fn a_faulty_list_of_hosts_is_refused() {
    let message =
        refusal(|config| config.allow_hosts = vec!["https://files.test/x".to_owned()]).await;
    assert!(message.contains("allow_hosts"), "{message}");
}

#[tokio::test]
async fn secrets_do_not_show_in_debug_output() {
    let config = config("http://127.0.0.1:1");
    assert!(!format!("{config:?}").contains(TOKEN));
    let connection = harness().connect(config).await.unwrap();
    assert!(!format!("{connection:?}").contains(TOKEN));
}
