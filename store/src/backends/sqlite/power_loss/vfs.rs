//! SQLite's way to the simulated disk: a VFS in memory, registered once, with a disk per directory.
//!
//! Everything SQLite asks of a system is here once: files, locks between connections of this process, and the shared
//! memory of the write-ahead log's index, which is lost with the power and never written to the disk.
#![allow(unsafe_code)] // SQLite calls a VFS through C function pointers and hands out raw memory: there is no safe form.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, LazyLock, Once};

use parking_lot::Mutex;
use rusqlite::ffi;

use super::disk::{Disk, Fault};

/// The name under which connections find it.
pub const NAME: &str = "losing-power";
const NAME_C: &CStr = c"losing-power";

/// A disk and what of it lives in memory alone.
#[derive(Default)]
pub struct Machine {
    pub disk: Disk,
    handles_made: u64,
    /// Per file: which handle holds which level of lock.
    locks: HashMap<String, HashMap<u64, c_int>>,
    shared: HashMap<String, SharedIndex>,
}

#[derive(Default)]
struct SharedIndex {
    /// In words, so that SQLite finds them aligned; boxed, so that they stay where they are.
    regions: Vec<Box<[u64]>>,
    mapped: Vec<u64>,
    slots: [Slot; ffi::SQLITE_SHM_NLOCK as usize],
}

#[derive(Default)]
struct Slot {
    shared: Vec<u64>,
    exclusive: Option<u64>,
}

/// What stands behind an open file.
struct Handle {
    machine: Arc<Mutex<Machine>>,
    name: String,
    id: u64,
    delete_on_close: bool,
}

/// The file as SQLite allocates it; `base` has to come first.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// Machines by the directory in which their files stand.
static MACHINES: LazyLock<Mutex<HashMap<String, Arc<Mutex<Machine>>>>> = LazyLock::new(Mutex::default);

/// Makes a disk reachable under `/NAME/` until [`unplug`].
pub fn plug_in(name: &str, disk: Disk) -> Arc<Mutex<Machine>> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    let machine = Arc::new(Mutex::new(Machine { disk, ..Machine::default() }));
    MACHINES.lock().insert(name.to_owned(), machine.clone());
    machine
}

pub fn unplug(name: &str) {
    MACHINES.lock().remove(name);
}

/// What a file holds now; nothing when there is none.
pub fn read_file(path: &str) -> Vec<u8> {
    let Some(machine) = machine_of(path) else { return Vec::new() };
    let held = machine.lock();
    held.disk.files.get(path).map(|file| file.bytes.clone()).unwrap_or_default()
}

fn register() {
    let vfs = ffi::sqlite3_vfs {
        iVersion: 1,
        szOsFile: size_of::<OpenFile>() as c_int,
        mxPathname: 512,
        pNext: std::ptr::null_mut(),
        zName: NAME_C.as_ptr(),
        pAppData: std::ptr::null_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(do_not_wait),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: None,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    };
    // SAFETY: SQLite keeps the pointer for the life of the process, and so does the leak.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) };
    assert_eq!(code, ffi::SQLITE_OK);
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

// === the file system ===

/// SAFETY: SQLite hands over a path that ends with a zero byte, or none.
unsafe fn path_of(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// `/NAME/file` stands on the machine NAME.
fn machine_of(path: &str) -> Option<Arc<Mutex<Machine>>> {
    MACHINES.lock().get(path.split('/').nth(1)?).cloned()
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let file = file.cast::<OpenFile>();
    // SAFETY: `file` has the room that `szOsFile` asked for. Without methods SQLite does not close it.
    unsafe { (*file).base.pMethods = std::ptr::null() };
    // SAFETY: see `path_of`. Files without a name are temporary, and none is needed here.
    let Some(path) = (unsafe { path_of(name) }) else { return ffi::SQLITE_CANTOPEN };
    let Some(machine) = machine_of(&path) else { return ffi::SQLITE_CANTOPEN };
    let mut held = machine.lock();
    if held.disk.dead {
        return ffi::SQLITE_CANTOPEN;
    }
    if !held.disk.files.contains_key(&path) {
        if flags & ffi::SQLITE_OPEN_CREATE == 0 {
            return ffi::SQLITE_CANTOPEN;
        }
        held.disk.files.insert(path.clone(), Default::default());
    }
    held.handles_made += 1;
    let id = held.handles_made;
    drop(held);
    let delete_on_close = flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
    let handle = Box::into_raw(Box::new(Handle { machine, name: path, id, delete_on_close }));
    // SAFETY: as above; `out_flags` may be null.
    unsafe {
        (*file).handle = handle;
        (*file).base.pMethods = &METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int) -> c_int {
    // SAFETY: see `path_of`.
    let Some(path) = (unsafe { path_of(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    let Some(machine) = machine_of(&path) else { return ffi::SQLITE_IOERR_DELETE };
    let mut held = machine.lock();
    if held.disk.operation().is_err() {
        return ffi::SQLITE_IOERR_DELETE;
    }
    match held.disk.files.remove(&path) {
        Some(_) => ffi::SQLITE_OK,
        None => ffi::SQLITE_IOERR_DELETE_NOENT,
    }
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int, found: *mut c_int) -> c_int {
    // SAFETY: see `path_of`; `found` is SQLite's.
    let path = unsafe { path_of(name) }.unwrap_or_default();
    let exists = machine_of(&path).is_some_and(|machine| machine.lock().disk.files.contains_key(&path));
    unsafe { *found = c_int::from(exists) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(_: *mut ffi::sqlite3_vfs, name: *const c_char, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: `name` ends with a zero byte and `out` has room for `len` bytes.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if bytes.len() > len as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    ffi::SQLITE_OK
}

/// The same each time: it only salts the log's checksums.
unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: `out` has room for `len` bytes.
    unsafe { std::ptr::write_bytes(out, 0x5c, len as usize) };
    len
}

unsafe extern "C" fn do_not_wait(_: *mut ffi::sqlite3_vfs, _: c_int) -> c_int {
    0
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: `out` is SQLite's.
    unsafe { *out = 2_460_000.5 };
    ffi::SQLITE_OK
}

// === files ===

/// SAFETY: SQLite calls file methods only between `open` and `close`, one call at a time per file.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a Handle {
    unsafe { &*(*file.cast::<OpenFile>()).handle }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: it came out of `Box::into_raw` in `open`, and SQLite closes once.
    let handle = unsafe { Box::from_raw((*file.cast::<OpenFile>()).handle) };
    let mut held = handle.machine.lock();
    if let Some(locks) = held.locks.get_mut(&handle.name) {
        locks.remove(&handle.id);
    }
    if handle.delete_on_close {
        held.disk.files.remove(&handle.name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, len: c_int, offset: i64) -> c_int {
    let (len, offset) = (len as usize, offset as usize);
    // SAFETY: `out` has room for `len` bytes; for `handle` see there.
    let (handle, out) = unsafe { (handle(file), std::slice::from_raw_parts_mut(out.cast::<u8>(), len)) };
    let held = handle.machine.lock();
    let Some(found) = held.disk.files.get(&handle.name).filter(|_| !held.disk.dead) else {
        return ffi::SQLITE_IOERR_READ;
    };
    let there = found.bytes.get(offset..).unwrap_or_default();
    let there = &there[..there.len().min(len)];
    out[..there.len()].copy_from_slice(there);
    out[there.len()..].fill(0);
    if there.len() == len { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite hands over `len` bytes; for `handle` see there.
    let (handle, bytes) = unsafe { (handle(file), std::slice::from_raw_parts(bytes.cast::<u8>(), len as usize)) };
    let mut held = handle.machine.lock();
    let done = held.disk.write();
    // The write during which the power goes may have reached the disk in part.
    if matches!(done, Ok(()) | Err(Fault::PowerLoss))
        && let Some(found) = held.disk.files.get_mut(&handle.name)
    {
        found.write(offset as usize, bytes);
    }
    code(done, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: i64) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    let done = held.disk.operation();
    if done.is_ok()
        && let Some(found) = held.disk.files.get_mut(&handle.name)
    {
        found.truncate(len as usize);
    }
    code(done, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    let done = held.disk.operation();
    if done.is_ok()
        && let Some(found) = held.disk.files.get_mut(&handle.name)
    {
        found.sync();
    }
    code(done, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: see `handle`; `out` is SQLite's.
    let handle = unsafe { handle(file) };
    let len = handle.machine.lock().disk.files.get(&handle.name).map_or(0, |found| found.bytes.len());
    unsafe { *out = len as i64 };
    ffi::SQLITE_OK
}

fn code(done: Result<(), Fault>, failure: c_int) -> c_int {
    match done {
        Ok(()) => ffi::SQLITE_OK,
        Err(Fault::Full) => ffi::SQLITE_FULL,
        Err(Fault::Io | Fault::PowerLoss) => failure,
    }
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// What the system's own VFS says too.
unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

// === locks between connections ===

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    let locks = held.locks.entry(handle.name.clone()).or_default();
    let highest = locks.iter().filter(|(id, _)| **id != handle.id).map(|(_, level)| *level).max().unwrap_or(0);
    let free = match level {
        ffi::SQLITE_LOCK_SHARED => highest < ffi::SQLITE_LOCK_PENDING,
        ffi::SQLITE_LOCK_RESERVED => highest < ffi::SQLITE_LOCK_RESERVED,
        _ => highest < ffi::SQLITE_LOCK_SHARED,
    };
    if !free {
        return ffi::SQLITE_BUSY;
    }
    let mine = locks.entry(handle.id).or_default();
    *mine = level.max(*mine);
    ffi::SQLITE_OK
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    held.locks.entry(handle.name.clone()).or_default().insert(handle.id, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: see `handle`; `out` is SQLite's.
    let handle = unsafe { handle(file) };
    let held = handle.machine.lock();
    let taken = held.locks.get(&handle.name).is_some_and(|locks| locks.values().any(|level| *level >= 2));
    unsafe { *out = c_int::from(taken) };
    ffi::SQLITE_OK
}

// === the index of the write-ahead log ===

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    len: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: see `handle`; `out` is SQLite's.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    let shared = held.shared.entry(handle.name.clone()).or_default();
    if !shared.mapped.contains(&handle.id) {
        shared.mapped.push(handle.id);
    }
    while extend != 0 && shared.regions.len() <= region as usize {
        shared.regions.push(vec![0u64; len as usize / 8].into_boxed_slice());
    }
    let found = shared.regions.get_mut(region as usize);
    // SAFETY: a region stays where it is until nobody maps it any more.
    unsafe { *out = found.map_or(std::ptr::null_mut(), |region| region.as_mut_ptr().cast()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, len: c_int, flags: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    let shared = held.shared.entry(handle.name.clone()).or_default();
    let slots = &mut shared.slots[offset as usize..(offset + len) as usize];
    let me = handle.id;
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        slots.iter_mut().for_each(|slot| slot.release(me));
        return ffi::SQLITE_OK;
    }
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    if !slots.iter().all(|slot| slot.is_free(me, exclusive)) {
        return ffi::SQLITE_BUSY;
    }
    for slot in slots {
        if exclusive {
            slot.exclusive = Some(me);
        } else if !slot.shared.contains(&me) {
            slot.shared.push(me);
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut held = handle.machine.lock();
    let shared = held.shared.entry(handle.name.clone()).or_default();
    shared.mapped.retain(|id| *id != handle.id);
    shared.slots.iter_mut().for_each(|slot| slot.release(handle.id));
    if delete != 0 && shared.mapped.is_empty() {
        shared.regions.clear();
    }
    ffi::SQLITE_OK
}

// === impl Slot ===

impl Slot {
    fn is_free(&self, me: u64, exclusive: bool) -> bool {
        let alone = self.exclusive.is_none_or(|holder| holder == me);
        alone && (!exclusive || self.shared.iter().all(|holder| *holder == me))
    }

    fn release(&mut self, me: u64) {
        self.shared.retain(|holder| *holder != me);
        self.exclusive = self.exclusive.filter(|holder| *holder != me);
    }
}
