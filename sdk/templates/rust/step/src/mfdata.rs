//! The C interface of mfdata/plugin.h, version 1.0, as far as a step needs it. Members that are not used here stand as
//! plain pointers, so that every other one has its place.
#![allow(dead_code)]
use std::ffi::c_void;
use std::os::raw::c_char;

pub type Rc = i32;
pub const OK: Rc = 0;
pub const FAIL: Rc = 1;
pub const RETRY: Rc = 2;
pub const E_NOMEM: Rc = -5;
pub const OP_MOVE: i32 = 1;
pub const KIND_STEP: i32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    pub p: *const c_char,
    pub n: usize,
}

impl Str {
    pub fn of(text: &str) -> Str {
        Str { p: text.as_ptr() as *const c_char, n: text.len() }
    }
    pub const fn empty() -> Str {
        Str { p: std::ptr::null(), n: 0 }
    }
    /// # Safety
    /// The host's promise: `n` bytes at `p`, until the callback returns.
    pub unsafe fn bytes(&self) -> &[u8] {
        if self.n == 0 { &[] } else { std::slice::from_raw_parts(self.p as *const u8, self.n) }
    }
}

#[repr(C)]
pub struct Ctx {
    _private: [u8; 0],
}
#[repr(C)]
pub struct File {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Host {
    pub struct_size: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub reserved0: u32,
    pub name: Str,
    pub version: Str,
    pub query: *const c_void,
    pub log: unsafe extern "C" fn(*mut Ctx, i32, Str),
    pub log_enabled: *const c_void,
    pub set_error: unsafe extern "C" fn(*mut Ctx, Rc, Str) -> Rc,
    pub set_file_error: *const c_void,
    pub set_retry_delay: unsafe extern "C" fn(*mut Ctx, i64) -> Rc,
    pub cancelled: unsafe extern "C" fn(*mut Ctx) -> i32,
    pub deadline_ns: *const c_void,
    pub config_text: unsafe extern "C" fn(*mut Ctx, Str, *mut Str) -> Rc,
    pub config_integer: unsafe extern "C" fn(*mut Ctx, Str, *mut i64) -> Rc,
    pub config_real: *const c_void,
    pub config_count: *const c_void,
    pub config_key: *const c_void,
    pub file_path: unsafe extern "C" fn(*mut Ctx, *mut File, *mut Str) -> Rc,
    pub tag_get: unsafe extern "C" fn(*mut Ctx, *mut File, Str, *mut Str) -> Rc,
    pub tag_set: unsafe extern "C" fn(*mut Ctx, *mut File, Str, Str) -> Rc,
    pub tag_delete: *const c_void,
    pub tag_each: *const c_void,
    pub tag_set_hop: unsafe extern "C" fn(*mut Ctx, *mut File, Str, Str, u32) -> Rc,
    pub tag_get_latest: *const c_void,
    pub tmp_file: *const c_void,
    pub scratch_dir: *const c_void,
    pub adopt: *const c_void,
    pub emit: unsafe extern "C" fn(*mut Ctx, *mut File, i32, Str) -> Rc,
    // more follows in the header; a plugin may stop reading here
}

#[repr(C)]
pub struct Init {
    pub struct_size: u32,
    pub flags: u32,
    pub host: *const Host,
    pub ctx: *mut Ctx,
    pub plugin_name: Str,
    pub step_name: Str,
    pub plugin_dir: Str,
}

#[repr(C)]
pub struct Step {
    pub struct_size: u32,
    pub flags: u32,
    pub create: unsafe extern "C" fn(*const Init, *mut *mut c_void) -> Rc,
    pub process: unsafe extern "C" fn(*mut c_void, *mut Ctx, *mut File) -> Rc,
    pub process_batch: Option<unsafe extern "C" fn()>,
    pub tick: Option<unsafe extern "C" fn()>,
    pub drain: Option<unsafe extern "C" fn()>,
    pub interrupt: Option<unsafe extern "C" fn()>,
    pub destroy: unsafe extern "C" fn(*mut c_void, *mut Ctx),
}

#[repr(C)]
pub struct Component {
    pub struct_size: u32,
    pub kind: i32,
    pub id: *const c_char,
    pub summary: *const c_char,
    pub table: *const Step,
}

#[repr(C)]
pub struct Plugin {
    pub struct_size: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub need_minor: u32,
    pub id: *const c_char,
    pub version: *const c_char,
    pub summary: *const c_char,
    pub license: *const c_char,
    pub sdk_version: *const c_char,
    pub components: *const *const Component,
    pub n_components: u32,
    pub flags: u32,
    pub query: Option<unsafe extern "C" fn()>,
}

/// For constants that hold pointers: they never change.
#[repr(transparent)]
pub struct Shared<T>(pub T);
unsafe impl<T> Sync for Shared<T> {}
