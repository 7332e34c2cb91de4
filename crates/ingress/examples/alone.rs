//! The ingress without the rest of Seaway, for measurements and experiments: `alone FOLDER ADDRESS…`. Routes go in through
//! `FOLDER/admin.sock`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let listen = arguments.map(|address| address.parse()).collect::<Result<Vec<_>, _>>()?;
    let config = ingress::IngressConfig::new(listen, folder.join("admin.sock"), folder.join("state"));
    let stopped = async {
        // Without the signal it runs until it is killed.
        let _told = tokio::signal::ctrl_c().await;
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(ingress::run(config, stopped))?;
    Ok(())
}
