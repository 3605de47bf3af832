//! @NAME@: a step that counts the lines of each file, writes their number into a tag and passes the file on.
mod mfdata;

use mfdata::*;
use std::ffi::{c_void, OsStr};
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::panic::{catch_unwind, AssertUnwindSafe};

struct Lines {
    host: &'static Host,
    dest_dir: String,
}

type Failure = (Rc, String);

impl Lines {
    fn new(host: &'static Host, ctx: *mut Ctx) -> Result<Lines, Failure> {
        let mut value = Str::empty();
        if unsafe { (host.config_text)(ctx, Str::of("dest_dir"), &mut value) } != OK {
            return Err((FAIL, "write dest_dir = \"plugin/step\" in [custom]".into()));
        }
        let dest_dir = String::from_utf8_lossy(unsafe { value.bytes() }).into_owned();
        Ok(Lines { host, dest_dir })
    }

    fn process(&self, ctx: *mut Ctx, file: *mut File) -> Result<(), Failure> {
        let mut path = Str::empty();
        self.expect(unsafe { (self.host.file_path)(ctx, file, &mut path) }, "file_path")?;
        let content = std::fs::read(OsStr::from_bytes(unsafe { path.bytes() })).map_err(|e| (RETRY, e.to_string()))?;
        let lines = content.iter().filter(|byte| **byte == b'\n').count().to_string();
        self.expect(unsafe { (self.host.tag_set_hop)(ctx, file, Str::of("lines"), Str::of(&lines), 0) }, "tag_set_hop")?;
        self.expect(unsafe { (self.host.emit)(ctx, file, OP_MOVE, Str::of(&self.dest_dir)) }, "emit")
    }

    fn expect(&self, rc: Rc, what: &str) -> Result<(), Failure> {
        if rc == OK { Ok(()) } else { Err((FAIL, format!("{what} returned {rc}"))) }
    }
}

/// No panic crosses the boundary: it becomes a failed file with its text.
fn guarded(host: &Host, ctx: *mut Ctx, call: impl FnOnce() -> Result<(), Failure>) -> Rc {
    let (rc, reason) = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            (FAIL, text.unwrap_or("a panic").to_string())
        }
    };
    unsafe { (host.set_error)(ctx, rc, Str::of(&reason)) }
}

unsafe extern "C" fn create(init: *const Init, this: *mut *mut c_void) -> Rc {
    let host: &'static Host = &*(*init).host;
    let ctx = (*init).ctx;
    guarded(host, ctx, || {
        *this = Box::into_raw(Box::new(Lines::new(host, ctx)?)) as *mut c_void;
        Ok(())
    })
}

unsafe extern "C" fn process(this: *mut c_void, ctx: *mut Ctx, file: *mut File) -> Rc {
    let lines = &*(this as *const Lines);
    guarded(lines.host, ctx, || lines.process(ctx, file))
}

unsafe extern "C" fn destroy(this: *mut c_void, _ctx: *mut Ctx) {
    drop(Box::from_raw(this as *mut Lines));
}

const fn text(bytes: &'static [u8]) -> *const c_char {
    bytes.as_ptr() as *const c_char
}

static STEP: Step = Step { struct_size: std::mem::size_of::<Step>() as u32, flags: 0, create, process, process_batch: None, tick: None, drain: None, interrupt: None, destroy };
static COMPONENT: Shared<Component> = Shared(Component {
    struct_size: std::mem::size_of::<Component>() as u32,
    kind: KIND_STEP,
    id: text(b"main\0"),
    summary: text(b"counts the lines of each file\0"),
    table: &STEP,
});
static COMPONENTS: Shared<[*const Component; 1]> = Shared([&COMPONENT.0]);
static PLUGIN: Shared<Plugin> = Shared(Plugin {
    struct_size: std::mem::size_of::<Plugin>() as u32,
    abi_major: 1,
    abi_minor: 0,
    need_minor: 0,
    id: text(b"@NAME@\0"),
    version: text(b"0.1.0\0"),
    summary: text(b"counts lines\0"),
    license: text(b"BSD-3-Clause\0"),
    sdk_version: text(b"1.0\0"),
    components: COMPONENTS.0.as_ptr(),
    n_components: 1,
    flags: 0,
    query: None,
});

#[no_mangle]
pub extern "C" fn mfdata_plugin_v1() -> *const Plugin {
    &PLUGIN.0
}
