//! Pages behind printed and mailed links.

use reqwest::Method;
use testkit::{Reply, TestServer};

async fn page(server: &TestServer, path: &str) -> Reply {
    server.send(server.plain(Method::GET, path)).await.unwrap()
}

#[tokio::test]
async fn every_link_that_is_printed_or_mailed_leads_to_a_page_without_inline_script() {
    let server = TestServer::new().await.unwrap();
    for path in ["/setup", "/verify-email", "/reset-password", "/confirm-email", "/cancel-email-change", "/invitation"] {
        let reply = page(&server, path).await.expect(200).unwrap();
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe-inline"), "{path}: {policy}");
        assert!(reply.text.contains("<script src=\"/link.js\" defer></script>"), "{path}");
    }
    let script = page(&server, "/link.js").await.expect(200).unwrap().text;
    let known: Vec<&str> = api::v1::endpoints().iter().map(|endpoint| endpoint.path).collect();
    let called: Vec<&str> = script.split("path: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(called.len(), 6);
    for path in called {
        assert!(known.contains(&path), "{path} is not in the API");
    }
}
