//! A framework in which drivers do what a test says: the core itself, or the threaded way with the
//! core's face.

use super::{AnyDriver, Handle, NOW, Scripted, Subject, null_params, request, wide};
use crate::{
    DriverChoice, DriverFlags, DriverId, Finished, FrameworkEvent, KeyOps, Limits, MigrationPolicy,
    RequestError, RequestFlags, SessionId,
};

/// A framework and the request sizes tests use.
pub(crate) struct Bench {
    pub(crate) framework: Subject,
    handles: Vec<Handle>,
}

/// Nothing stays in a driver when the test is over: whoever shuts down in good order would wait.
impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for handle in &self.handles {
            handle.give_up();
        }
        self.service_all();
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::around(Subject::new(limits))
    }

    /// The same for tests that do not mind which of several frameworks has a session.
    pub(crate) fn wide(limits: Limits) -> Self {
        Self::around(wide(limits))
    }

    fn around(framework: Subject) -> Self {
        Self {
            framework,
            handles: Vec::new(),
        }
    }

    /// A driver that is not registered.
    pub(crate) fn scripted(&self, name: &str, flags: DriverFlags) -> Box<AnyDriver> {
        Box::new(Scripted::new(name, flags, KeyOps::empty()).0)
    }

    pub(crate) fn driver(&mut self, name: &str, flags: DriverFlags) -> (DriverId, Handle) {
        self.key_driver(name, flags, KeyOps::empty())
    }

    pub(crate) fn key_driver(
        &mut self,
        name: &str,
        flags: DriverFlags,
        key_ops: KeyOps,
    ) -> (DriverId, Handle) {
        let (driver, handle) = Scripted::new(name, flags, key_ops);
        let id = self.framework.register(Box::new(driver));
        self.handles.push(handle.clone());
        (id, handle)
    }

    pub(crate) fn card(&mut self, name: &str) -> (DriverId, Handle) {
        self.driver(name, DriverFlags::HARDWARE)
    }

    /// An open session on the best driver.
    pub(crate) fn session(&mut self, policy: MigrationPolicy) -> SessionId {
        self.session_with(DriverChoice::any(), policy)
    }

    pub(crate) fn session_with(
        &mut self,
        choice: DriverChoice,
        policy: MigrationPolicy,
    ) -> SessionId {
        let id = self
            .framework
            .open_session(NOW, null_params(), choice, policy)
            .unwrap();
        self.service_all();
        id
    }

    pub(crate) fn dispatch(&mut self, session: SessionId) -> u64 {
        self.dispatch_flagged(session, RequestFlags::empty())
    }

    pub(crate) fn dispatch_flagged(&mut self, session: SessionId, flags: RequestFlags) -> u64 {
        let mut request = request(session);
        request.flags = flags;
        self.framework.dispatch(NOW, request).unwrap().0
    }

    pub(crate) fn service_all(&mut self) {
        let ids: Vec<_> = self.framework.drivers().map(|driver| driver.id).collect();
        for id in ids {
            self.framework.service(NOW, id);
        }
    }

    pub(crate) fn finished(&mut self) -> Vec<(u64, Result<(), RequestError>)> {
        std::iter::from_fn(|| self.framework.take_finished())
            .map(|Finished { request, result }| (request.id.0, result))
            .collect()
    }

    pub(crate) fn events(&mut self) -> Vec<FrameworkEvent> {
        self.framework.events().collect()
    }
}
