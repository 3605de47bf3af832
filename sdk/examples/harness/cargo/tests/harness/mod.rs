//! mfdata/harness.h 1.0, as far as these tests need it. Lists and structures have the layout of the header.
use std::collections::BTreeMap;
use std::ffi::{c_void, CStr, CString};
use std::os::raw::c_char;
use std::ptr;

#[repr(C)]
#[derive(Clone, Copy)]
struct Str {
    p: *const c_char,
    n: usize,
}

#[repr(C)]
struct RawOptions {
    struct_size: u32,
    flags: u32,
    plugin: *const c_char,
    entry: *const c_void,
    manifest: *const c_char,
    config: *const c_char,
    targets: *const *const c_char,
}

#[repr(C)]
struct RawFile {
    struct_size: u32,
    flags: u32,
    path: *const c_char,
    content: Str,
    name: *const c_char,
    tags: *const *const c_char,
}

#[repr(C)]
struct Pair {
    name: Str,
    value: Str,
}

#[repr(C)]
struct RawOutput {
    struct_size: u32,
    input: u32,
    to: Str,
    name: Str,
    path: Str,
    content: Str,
    size: u64,
    tags: *const Pair,
    n_tags: u32,
    reserved0: u32,
}

#[repr(C)]
struct RawResult {
    struct_size: u32,
    flags: u32,
    outcome: Str,
    reason: Str,
    ends: *const c_void,
    outputs: *const *const RawOutput,
    logs: *const c_void,
    metrics: *const c_void,
    n_ends: u32,
    n_outputs: u32,
    n_logs: u32,
    n_metrics: u32,
    calls: u64,
    failed_calls: u64,
    duration_ns: i64,
}

#[link(name = "mfdata-harness")]
extern "C" {
    fn mfdata_harness_open(options: *const RawOptions, harness: *mut *mut c_void) -> i32;
    fn mfdata_harness_close(harness: *mut c_void);
    fn mfdata_harness_error(harness: *const c_void) -> *const c_char;
    fn mfdata_harness_run(harness: *mut c_void, step: *const c_char, files: *const RawFile, n: u32) -> *const RawResult;
    fn mfdata_harness_fail(harness: *mut c_void, call: *const c_char, number: u32, code: i32) -> i32;
}

pub struct Output {
    pub to: String,
    pub content: Vec<u8>,
    pub tags: BTreeMap<String, String>,
}

pub struct Run {
    pub outcome: String,
    pub reason: String,
    pub outputs: Vec<Output>,
    pub failed_calls: u64,
}

pub struct Harness(*mut c_void);

unsafe fn bytes(from: Str) -> Vec<u8> {
    if from.n == 0 { Vec::new() } else { std::slice::from_raw_parts(from.p as *const u8, from.n).to_vec() }
}

unsafe fn text(from: Str) -> String {
    String::from_utf8_lossy(&bytes(from)).into_owned()
}

impl Harness {
    /// `entry` is the plugin's mfdata_plugin_v1; `config` the last layer of its configuration.
    pub fn open(entry: *const c_void, config: &str) -> Result<Harness, String> {
        let config = CString::new(config).expect("no zero byte");
        let options = RawOptions {
            struct_size: std::mem::size_of::<RawOptions>() as u32,
            flags: 0,
            plugin: ptr::null(),
            entry,
            manifest: ptr::null(),
            config: config.as_ptr(),
            targets: ptr::null(),
        };
        let mut harness = Harness(ptr::null_mut());
        let rc = unsafe { mfdata_harness_open(&options, &mut harness.0) };
        if rc == 0 { Ok(harness) } else { Err(harness.error()) }
    }

    pub fn error(&self) -> String {
        unsafe { CStr::from_ptr(mfdata_harness_error(self.0)) }.to_string_lossy().into_owned()
    }

    /// The call with this number, from now on, fails.
    pub fn fail(&mut self, number: u32) {
        assert_eq!(unsafe { mfdata_harness_fail(self.0, ptr::null(), number, 0) }, 0);
    }

    pub fn run(&mut self, content: &[u8]) -> Run {
        let file = RawFile {
            struct_size: std::mem::size_of::<RawFile>() as u32,
            flags: 0,
            path: ptr::null(),
            content: Str { p: content.as_ptr() as *const c_char, n: content.len() },
            name: ptr::null(),
            tags: ptr::null(),
        };
        unsafe {
            let result = mfdata_harness_run(self.0, ptr::null(), &file, 1);
            assert!(!result.is_null(), "{}", self.error());
            let result = &*result;
            let outputs = (0..result.n_outputs as usize).map(|i| {
                let output = &**result.outputs.add(i);
                let tags = (0..output.n_tags as usize).map(|k| (text((*output.tags.add(k)).name), text((*output.tags.add(k)).value))).collect();
                Output { to: text(output.to), content: bytes(output.content), tags }
            });
            Run { outcome: text(result.outcome), reason: text(result.reason), outputs: outputs.collect(), failed_calls: result.failed_calls }
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        unsafe { mfdata_harness_close(self.0) }
    }
}
