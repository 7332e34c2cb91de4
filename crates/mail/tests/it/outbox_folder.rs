//! Mail into a folder.

use std::os::unix::fs::PermissionsExt;

use mail::{MailError, OutboxFolder, Transport};

use crate::samples;

#[tokio::test]
async fn each_mail_is_one_private_file_also_when_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/outbox");
    let outbox = OutboxFolder::new(&path).unwrap();
    let message = samples::compose(&samples::all()[0]);
    let receipt = outbox.send(&message).await.unwrap();
    outbox.send(&message).await.unwrap();

    let file = outbox.path_of(&message);
    assert!(receipt.detail.contains(file.to_str().unwrap()));
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "one mail, no partial file");
    assert_eq!(std::fs::read(&file).unwrap(), message.to_eml().unwrap());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("20261101T000000Z-mail_"));
}

#[tokio::test]
async fn a_folder_that_is_gone_is_a_transient_error() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = OutboxFolder::new(&folder.path().join("outbox")).unwrap();
    std::fs::remove_dir(folder.path().join("outbox")).unwrap();
    let error = outbox.send(&samples::compose(&samples::all()[0])).await.unwrap_err();
    assert!(matches!(error, MailError::Transient(_)), "{error}");
}
