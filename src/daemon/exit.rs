//! Exit statuses of the daemon: the only table of these numbers.

/// Why the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonExit {
    /// Shut down in order.
    Clean = 0,
    /// A defect, or the machine refused something it never should.
    Internal = 1,
    /// Wrong command line or configuration.
    Usage = 2,
    /// Another daemon serves this socket.
    AlreadyRunning = 3,
    /// A path or its owner is not to be trusted.
    UnsafePath = 4,
    /// The identity asked for could not be assumed.
    Privileges = 5,
    /// The machine lacks something that is needed to start.
    Resource = 6,
    /// Processes survived the shutdown.
    ProcessesLeft = 7,
}

impl DaemonExit {
    /// The number for the operating system, under the name the daemon was called by.
    pub fn code(self, called_as: &str) -> u8 {
        // Supervisor knows two statuses: 0, and 2 for everything that kept it from starting.
        match self {
            Self::ProcessesLeft if called_as == "supervisord" => 0,
            Self::AlreadyRunning | Self::UnsafePath | Self::Privileges | Self::Resource
                if called_as == "supervisord" =>
            {
                2
            }
            Self::Clean
            | Self::Internal
            | Self::Usage
            | Self::AlreadyRunning
            | Self::UnsafePath
            | Self::Privileges
            | Self::Resource
            | Self::ProcessesLeft => self as u8,
        }
    }
}
