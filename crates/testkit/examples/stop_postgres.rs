//! Stops the tests' PostgreSQL and removes its folder.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    testkit::postgres::stop().await
}
