//! The programs that may be started.

use std::path::PathBuf;

/// Folders that are searched for a program, in this order; the agent's own `PATH` is not used.
const FOLDERS: [&str; 6] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// `PATH` of every process that is started.
pub(super) const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    Git,
    Ssh,
    SshKeyscan,
    Iptables,
    Ip6tables,
    IptablesRestore,
    Ip6tablesRestore,
    IptablesSave,
    Ip6tablesSave,
    Nft,
    Ip,
    Conntrack,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Ssh => "ssh",
            Self::SshKeyscan => "ssh-keyscan",
            Self::Iptables => "iptables",
            Self::Ip6tables => "ip6tables",
            Self::IptablesRestore => "iptables-restore",
            Self::Ip6tablesRestore => "ip6tables-restore",
            Self::IptablesSave => "iptables-save",
            Self::Ip6tablesSave => "ip6tables-save",
            Self::Nft => "nft",
            Self::Ip => "ip",
            Self::Conntrack => "conntrack",
        }
    }

    /// Where it is installed; `None` when it is not.
    pub fn find(self) -> Option<PathBuf> {
        FOLDERS.iter().map(|folder| PathBuf::from(folder).join(self.name())).find(|path| path.is_file())
    }
}
