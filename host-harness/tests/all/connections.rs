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

/// C1: a token with a character that none has is refused by place, and ends of lines around it do no harm.
#[tokio::test]
async fn a_token_that_fits_no_header_is_not_shown() {
    for (token, why) in [
        ("two words", "token has a space at position 4"),
        ("dapi\r\nx-evil: 1", "token has a control character at position 5"),
        ("dapi-5f1d\0", "token has a control character at position 10"),
        ("\"dapi-5f1d\"", "token has a quotation mark at position 1"),
        ("Bearer dapi-5f1d", "token begins with \"Bearer \""),
    ] {
        let message = refusal(|config| field(config, "token", token)).await;
        assert!(message.contains(why), "{message}");
        assert!(!message.contains("words") && !message.contains("5f1d"), "{message}");
    }
    for token in [&format!(" {TOKEN}\r\n"), &"d".repeat(8 << 10)] {
        let mut config = config("http://127.0.0.1:1");
        field(&mut config, "token", token);
        harness().connect(config).await.unwrap();
    }
}

/// J9: a secret that is too short to be found in answers is refused.
#[tokio::test]
async fn a_short_secret_is_refused() {
    let why = "token is shorter than 8 characters, too short to be kept out of answers and logs";
    assert!(refusal(|config| field(config, "token", "dapi123")).await.ends_with(why));
    let message = refusal(|config| {
        config.connection_type = "client".to_owned();
        config.fields.remove("token");
        for (key, value) in
            [("tokenUrl", "http://127.0.0.1:1/token"), ("id", "c"), ("secret", "password")]
        {
            field(config, key, value);
        }
        field(config, "secret", "seven77");
    });
    assert!(message.await.contains("secret is shorter than 8 characters"));
}

/// C17: secrets go to a token endpoint over https, or on this machine where that is allowed, and to a host that was named.
#[tokio::test]
async fn a_token_url_is_one_that_may_get_secrets() {
    for (url, why) in [
        ("http://work.test/token", "is not https"),
        ("https://work.test@evil.test/token", "a user name in it"),
        ("ftp://work.test/token", "only https"),
        ("work.test/token", "it is not a URL"),
    ] {
        let message = refusal(|config| {
            config.connection_type = "client".to_owned();
            config.fields.remove("token");
            for (key, value) in [("tokenUrl", url), ("id", "c"), ("secret", TOKEN)] {
                field(config, key, value);
            }
        });
        let message = message.await;
        assert!(message.contains(why), "{url}: {message}");
    }
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

/// J3: no secret shows in the debug output of configurations and connections.
#[tokio::test]
async fn secrets_do_not_show_in_debug_output() {
    let config = config("http://127.0.0.1:1");
    assert!(!format!("{config:?}").contains(TOKEN));
    let connection = harness().connect(config).await.unwrap();
    assert!(!format!("{connection:?}").contains(TOKEN));
}
