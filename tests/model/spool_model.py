#!/usr/bin/env python3
"""Executable model of the mfdata spool protocol, explored over every crash.

Three parts, in this order:
  Disk       names -> inodes, one attribute per inode, a metadata journal. Every operation is a crash point.
  Spool      the protocol: accept, claim, the shortcuts, the transaction, trash, retry, delivery, recovery.
             This part is the specification: the order of its Disk calls is the order of the system calls.
  Explorer   runs a scenario, crashes it before every operation, recovers, crashes again, and asks an oracle
             that stands outside the file system.

Crashes:  K  SIGKILL of one worker (the loader lives) or of everything; completed operations persist.
          P  power cut: a prefix of the metadata operations since the last forced one persists (ext4, xfs);
             data of an inode that was not fsynced may be gone (size 0). Each filesystem has its own journal.
Levels:   process (no fsync), accepted, every-hop.     Controls: each removes one protection and must be noticed.
One worker per step, run one at a time; scenarios with `meanwhile` let another actor act between any two operations.
"""
import itertools, multiprocessing, re, sys, time
from collections import Counter, namedtuple

Context = namedtuple("Context", "uid gen size to tags")      # the header, and the tags as sorted (name, value) pairs
Name = namedtuple("Name", "uid gen sidecar crashes")         # <uid>.<gen>[c][~n]
Job = namedtuple("Job", "step path name data context")       # a file in a slot, its treatment about to start
Output = namedtuple("Output", "target name link data context")   # link: path of the input; else data: Fresh, Copy or text
Fresh = namedtuple("Fresh", "path")                          # a file that the step made in its slot
Copy = namedtuple("Copy", "data")                            # of the input
LOST = "?"                                                   # content of an arrival emptied before it was accepted


def parse(filename):
    match = re.fullmatch(r"(?:\d+\.)?(u\w+)\.(\d+)(c?)(?:~(\d+))?", filename)
    return match and Name(match[1], int(match[2]), bool(match[3]), int(match[4] or 0))


def spell(name):
    return f"{name.uid}.{name.gen}{'c' * name.sidecar}{f'~{name.crashes}' if name.crashes else ''}"


def parent(path):
    return path.rpartition("/")[0]


# ---------------------------------------------------------------------------------------------------- Disk

class Disk:
    """One filesystem. Its tables are replaced, never changed in place, so that a snapshot is a copy of references."""

    def __init__(self, dirs, power):
        self.names = {d: None for d in dirs}    # path -> inode number; None: a directory
        self.attrs, self.data = {}, {}          # by inode number
        self.volatile = frozenset()             # inodes whose data a power cut may take
        self.journal = []                       # per operation not yet forced: (touched, names before, attrs before)
        self.power, self.before, self.serial = power, None, 0

    def copy(self):
        other = Disk.__new__(Disk)
        other.__dict__.update(self.__dict__, journal=list(self.journal), before=None)
        return other

    def _metadata(self, what, touched):
        self.before(what)
        self._record(touched)

    def _record(self, touched):
        if self.power:
            self.journal.append((touched, self.names, self.attrs))
        self.names, self.attrs = dict(self.names), dict(self.attrs)

    def inode(self, path):
        if self.names.get(path) is None:
            raise FileNotFoundError(path)
        return self.names[path]

    def links(self, path):
        return sum(ino == self.inode(path) for ino in self.names.values())

    def list(self, directory):
        return sorted(p[len(directory) + 1:] for p in self.names if parent(p) == directory)

    def create(self, path, data):               # open(O_CREAT|O_EXCL), then write
        if path in self.names:
            raise FileExistsError(path)
        self.serial += 1
        ino = self.serial
        self._metadata(f"create {path}", {parent(path), ino})
        self.names[path], self.data = ino, {**self.data, ino: ""}
        self.before(f"write {path}")
        self.data, self.volatile = {**self.data, ino: data}, self.volatile | {ino}

    def setattr(self, path_or_inode, context):  # a path, or an inode as by an open descriptor
        ino = path_or_inode if isinstance(path_or_inode, int) else self.inode(path_or_inode)
        self._metadata(f"setxattr {path_or_inode} gen={context.gen} to={context.to}", {ino})
        self.attrs[ino] = context

    def _can_rename(self, old, new, over):
        if old not in self.names:
            raise FileNotFoundError(old)
        if new in self.names and not over:
            raise FileExistsError(new)

    def rename(self, old, new, over=False, observe=None):
        self._can_rename(old, new, over)
        self.before(f"rename {old} -> {new}")
        self._can_rename(old, new, over)        # another actor may have come in between
        self._record({parent(old), parent(new), self.names[old]})
        for path in [p for p in self.names if p == old or p.startswith(old + "/")]:
            self.names[new + path[len(old):]] = self.names.pop(path)
        observe and observe()

    def symlink(self, content, path):           # its content is in the inode: nothing of it is volatile
        self.before(f"symlink {path}")
        if path in self.names:                  # another actor may have come in between
            raise FileExistsError(path)
        self._record({parent(path)})
        self.serial += 1
        self.names[path], self.data = self.serial, {**self.data, self.serial: content}

    def link(self, old, new):
        ino = self.inode(old)
        if new in self.names:
            raise FileExistsError(new)
        self._metadata(f"link {old} -> {new}", {parent(new), ino})
        self.names[new] = ino

    def unlink(self, path, observe=None):
        ino = self.inode(path)
        self._metadata(f"unlink {path}", {parent(path), ino})
        del self.names[path]
        observe and observe()

    def mkdir(self, path):
        self._metadata(f"mkdir {path}", {parent(path), path})
        self.names[path] = None

    def rmdir(self, path):
        self._metadata(f"rmdir {path}", {parent(path), path})
        del self.names[path]

    def fsync(self, path_or_inode):             # a file (attribute and data) or a directory
        self.before(f"fsync {path_or_inode}")
        what = self.names.get(path_or_inode, path_or_inode) or path_or_inode
        self.volatile -= {what}
        last = max((i for i, entry in enumerate(self.journal) if what in entry[0]), default=-1)
        del self.journal[:last + 1]

    def power_cuts(self):
        """(token, function making the disk after it) for each state that a power cut may leave behind."""
        for _, names, attrs in self.journal + [(None, self.names, self.attrs)]:
            loose = sorted(i for i in set(names.values()) if i in self.volatile)
            if len(loose) <= 2:
                subsets = itertools.chain.from_iterable(itertools.combinations(loose, n) for n in range(len(loose) + 1))
            else:
                subsets = [(), tuple(loose), *((i,) for i in loose)]
            for lost in subsets:
                yield (id(names), id(attrs), lost), lambda n=names, a=attrs, l=lost: self._after_cut(n, a, l)

    def _after_cut(self, names, attrs, lost):
        disk = self.copy()
        disk.names, disk.attrs, disk.volatile, disk.journal = names, attrs, frozenset(), []
        ours = {i for p, i in names.items() if p.startswith(("tmp/", "trash/")) or parse(p.rpartition("/")[2])}
        disk.data = {**self.data, **{i: "" if i in ours else LOST for i in lost}}
        return disk

    def _image(self, names, attrs):
        order = {}
        return tuple((p, i if i is None else (order.setdefault(i, len(order)), self.data[i], attrs.get(i),
                                              self.power and i in self.volatile)) for p, i in sorted(names.items()))

    def key(self):
        return self._image(self.names, self.attrs), tuple(
            (frozenset(t), self._image(n, a)) for t, n, a in self.journal)


# --------------------------------------------------------------------------------------------------- Spool

class Spool:
    """The protocol. `world` gives the two filesystems, the level, the controls, and the oracle's ear."""

    def __init__(self, world):
        self.w, self.disk, self.far = world, world.disk, world.far
        self.fsyncs_inodes = world.level != "process" and "no_fsync" not in world.controls
        self.fsyncs_hops = world.level == "every-hop"

    def off(self, protection):
        return protection in self.w.controls

    # ---- contexts

    def context_of(self, path):
        """The context that the *name* says: attribute, or sidecar where it has a `c`. None: missing or not this file's."""
        name = parse(path.rpartition("/")[2])
        if not name:
            return None
        ino = self.disk.names.get(f"tmp/context/{name.uid}") if name.sidecar else self.disk.names[path]
        context = self.disk.data.get(ino) if name.sidecar else self.disk.attrs.get(ino)
        if isinstance(context, Context) and (context.uid == name.uid or self.off("no_uid")):
            return context
        return None

    def write_sidecar(self, path, context):
        self.disk.create(path, context)
        if self.fsyncs_inodes and not self.off("no_sidecar_fsync"):
            self.disk.fsync(path)

    # ---- accept and claim

    def accept(self, step, directory, filename):
        """ACCEPT of a file that we may tag. The checks (regular, one link, size, lease) stand before the first call."""
        arrival, uid = f"{directory}/{filename}", self.w.fresh_uid()
        ino = self.disk.inode(arrival)
        slot = f"tmp/{step}/in/{uid}.0"
        context = Context(uid, 0, len(self.disk.data[ino]), f"step.{step}", self.w.first_tags(filename))
        if not self.off("context_last"):
            self.disk.setattr(ino, context)                        # 1: replaces what came with it
        if self.fsyncs_hops:
            self.disk.fsync(ino)                                   # 2
        try:
            self.disk.rename(arrival, slot)                        # 3: accepted
        except FileNotFoundError:
            return None
        if self.disk.inode(slot) != ino:                           # 4: swapped under our hands: an arrival again
            try:
                self.disk.rename(slot, arrival)
            except FileExistsError:
                self.disk.rename(slot, f"step.{step}/swapped-{uid}")
            return None
        if self.off("context_last"):
            self.disk.setattr(ino, context)
        return self.job(step, slot)

    def accept_foreign(self, step, directory, filename, uid=None):
        """ACCEPT of a file that we may not tag, by a process of its own: a transaction that copies it.
        `origin` is written first: it holds the context (with the size), so a repeat needs nothing else. Its sender may go
        on writing into the inode: what grows is copied anew by a repeat, once it has been quiet."""
        other_mount = directory == "mount"
        again, uid = uid is not None, uid or self.w.fresh_uid()
        base = f"tmp/accept/{uid}"
        source, disk = (f"mount/.mfdata.{uid}", self.far) if other_mount else (f"{base}/in/source", self.disk)
        if base not in self.disk.names:
            arrived = disk.inode(f"{directory}/{filename}")
            size = len(disk.data[arrived])
            self.disk.mkdir(base)                                                               # 1
            self.write_sidecar(f"{base}/origin", Context(uid, 0, size, f"step.{step}", self.w.first_tags(filename)))
            if not other_mount:
                self.disk.mkdir(f"{base}/in")                                                   # 3
            try:
                disk.rename(f"{directory}/{filename}", source)                                  # 4: nobody else's now
            except FileNotFoundError:
                return self.remove_tree(base)
            if disk.inode(source) != arrived:                                                   # swapped under our hands
                disk.rename(source, f"{directory}/{filename}")
                return self.remove_tree(base)
        context = self.disk.data[self.disk.inode(f"{base}/origin")]
        data, target = disk.data[disk.inode(source)], f"step.{step}"
        if len(data) > context.size and not self.off("no_growth"):
            if not again:
                return                                              # somebody writes it just now: it waits
            context = context._replace(size=len(data))
            if f"{base}/origin.new" in self.disk.names:
                self.disk.unlink(f"{base}/origin.new")
            self.write_sidecar(f"{base}/origin.new", context)
            self.disk.rename(f"{base}/origin.new", f"{base}/origin", over=True)
        if len(data) != context.size:
            target = f"trash/{step}"
        self.disk.mkdir(f"{base}/out")
        if self.off("foreign_publish_first"):
            self.new_file(f"{target}/{uid}.0", data, context)
            return self.remove_tree(base)
        self.stage(base, [Output(target, f"{uid}.0", None, Copy(data), context)] + (
            self.companions(step, uid, context, "emptied") if target.startswith("trash") else []))   # 5: copy, attribute, fsync
        if disk.data[disk.inode(source)] != data and not self.off("no_growth"):
            return self.remove_tree(f"{base}/out")                  # it has grown under the copy: it waits
        self.disk.rename(base, f"tmp/commit/{step}.accept.{uid}")                               # 6: COMMIT
        self.roll_forward(f"{step}.accept.{uid}")

    def deposit(self, step, filename, data, acknowledge, big=False, key=None):
        """A listener's file: acknowledged only when it can no longer be lost. big: its context does not fit into an attribute.
        key: deposits that have the same are one file."""
        uid = self.w.fresh_uid()
        context = Context(uid, 0, len(data), f"step.{step}", self.w.first_tags(filename) + (("big", True),) * big)
        path, name = f"tmp/accept/{uid}.{key or 0}", Name(uid, 0, big, 0)
        if key and f"tmp/keys/{key}" in self.disk.names and not self.on_its_way(key):
            return self.repeat(key, acknowledge)
        self.disk.create(path, data)                                                            # 1 create, write
        if big:
            self.write_sidecar(f"{path}.context", context)
            self.disk.rename(f"{path}.context", f"tmp/context/{uid}")                 # the file is never without it
        else:
            self.disk.setattr(path, context)                                                    # 2
        if self.fsyncs_inodes:
            self.disk.fsync(path)                                                               # 3
        if key and not self.take_key(path, key, f"{uid} {step}"):
            return None                                                                         # busy: the sender tries again
        self.disk.rename(path, f"step.{step}/{spell(name)}")                                    # 4
        if self.fsyncs_inodes:
            self.disk.fsync(f"step.{step}")                                                     # 5
        acknowledge()                                                                           # 6

    def take_key(self, path, key, first):
        """What a key names was there, complete, before the key. (The journals of this model keep that order by themselves.)"""
        if self.fsyncs_inodes:
            self.disk.fsync("tmp/accept")
        try:
            self.disk.symlink(first, f"tmp/keys/{key}")
        except FileExistsError:
            self.disk.unlink(path)
            return False
        if self.fsyncs_inodes:
            self.disk.fsync("tmp/keys")
        return True

    def on_its_way(self, key):
        """What came with the key first is not committed, and may never be."""
        return f"tmp/accept/{self.disk.data[self.disk.inode(f'tmp/keys/{key}')].split()[0]}.{key}" in self.disk.names

    def repeat(self, key, acknowledge):
        """Who came first may not have come as far as to force it."""
        if self.fsyncs_inodes:
            self.disk.fsync("tmp/keys")
            self.disk.fsync(f"step.{self.disk.data[self.disk.inode(f'tmp/keys/{key}')].split()[1]}")
        acknowledge()

    def claim(self, step, filename):
        """A job, or None: somebody else has it, or it is not to be run (then it has been settled)."""
        slot = f"tmp/{step}/in/{filename}"
        try:
            self.disk.rename(f"step.{step}/{filename}", slot)
        except FileNotFoundError:
            return None
        return self.job(step, slot) if self.verdict(slot) == "run" else self.settle(step, slot, crashed=False)

    def job(self, step, slot):
        return Job(step, slot, parse(slot.rpartition("/")[2]), self.disk.data[self.disk.inode(slot)], self.context_of(slot))

    # ---- the ends of a treatment

    def end(self, job, observe):
        """SHORTCUT 1, no output: one unlink. With a sidecar a transaction, or the sidecar would outlive a kill."""
        if job.name.sidecar and not self.off("sidecar_unlinked_after"):
            return self.transaction(job.step, [job], [], observe=observe)
        self.disk.unlink(job.path, observe)
        if job.name.sidecar:
            self.disk.unlink(f"tmp/context/{job.name.uid}")
        if self.fsyncs_hops:
            self.disk.fsync(parent(job.path))
        self.w.done(job)

    def pass_on(self, job, directory, tags, due=""):
        """SHORTCUT 2, the only output is the input. Writing the context with gen+1 and `to` is the COMMIT."""
        name = Name(job.name.uid, job.name.gen + 1, job.name.sidecar, 0)
        context = Context(name.uid, name.gen, job.context.size, directory + (due and f"/{due}"), tags)
        if self.off("context_last"):
            self.disk.rename(job.path, f"{directory}/{due and due + '.'}{spell(name)}")
            return self.disk.setattr(f"{directory}/{due and due + '.'}{spell(name)}", context)
        if name.sidecar:
            self.write_sidecar(f"tmp/{job.step}/new/{name.uid}", context)                       # 1 create, write, fsync
            self.disk.rename(f"tmp/{job.step}/new/{name.uid}", f"tmp/context/{name.uid}", over=True)    # 2: COMMIT
        else:
            self.disk.setattr(job.path, context)                                                # 1: COMMIT
        self.finish_rename(job.path, context)                                                   # last rename, {fsync}
        self.w.done(job)

    def finish_rename(self, path, context):
        name = parse(path.rpartition("/")[2])._replace(gen=context.gen, crashes=0)
        if context.to.startswith("archive/"):
            return self.finish_delivery(path, *context.to.split("/"), context)
        directory, _, due = context.to.partition("_reinject/")
        directory += "_reinject" * bool(due)
        self.disk.rename(path, f"{directory}/{due and due + '.'}{spell(name)}")
        if self.fsyncs_hops:
            self.disk.fsync(directory)

    def finish_delivery(self, path, directory, filename, context):
        """The absolute case of shortcut 2. The companion's first name stays in the slot until the file is placed."""
        companion = f"{parent(parent(path))}/new/{context.uid}.tags"
        if companion in self.disk.names and self.disk.links(companion) == 1 and not self.off("half_companion"):
            self.disk.unlink(companion)                                                         # half written, perhaps
        if companion not in self.disk.names:
            self.new_file(companion, str(context.tags), None)                                   # 2
        self.deliver(path, companion, directory, filename)                                      # 3, 4
        if self.fsyncs_hops:
            self.disk.fsync(directory)
        self.disk.unlink(companion)                                                             # 5

    def retry(self, job, tags):
        """RETRY is shortcut 2 towards the waiting directory; the due time stands in `to`, so a kill cannot lose it."""
        if self.off("retry_without_gen"):
            self.disk.setattr(job.path, job.context._replace(tags=tags))
            return self.disk.rename(job.path, f"step.{job.step}_reinject/1000.{spell(job.name)}")
        self.pass_on(job, f"step.{job.step}_reinject", tags, due="1000")

    def trash(self, step, path, reason):
        """TRASH of one file: companions first, then the file, context untouched. The rename is the COMMIT."""
        name, context = parse(path.rpartition("/")[2]), self.context_of(path)
        for companion in self.companions(step, name.uid, context, reason):
            new = f"tmp/{step}/new/{companion.name}"
            if new in self.disk.names:
                self.disk.unlink(new)
            self.disk.create(new, companion.data)                                               # 1, 3
            if self.fsyncs_hops:
                self.disk.fsync(new)
            self.disk.rename(new, f"trash/{step}/{companion.name}", over=True)                  # 2, 4
        self.disk.rename(path, f"trash/{step}/{spell(name._replace(crashes=0))}")               # 5: COMMIT
        if self.fsyncs_hops:
            self.disk.fsync(f"trash/{step}")

    def companions(self, step, uid, context, reason):
        return [Output(f"trash/{step}", f"{uid}.json", None, reason, None),
                Output(f"trash/{step}", f"{uid}.tags", None, str(context and context.tags), None)]

    # ---- the transaction

    def new_file(self, path, data, context):
        self.disk.create(path, data)
        if context:
            self.disk.setattr(path, context)
        if self.fsyncs_inodes and (self.fsyncs_hops or not path.endswith((".json", ".tags"))):
            self.disk.fsync(path)

    def stage(self, base, outputs):
        """Everything is made first, then forced together, and only then do new inodes get their names."""
        forced, fresh = [], []
        for output in outputs:
            directory = f"{base}/out/{output.target.replace('/', '%2F')}"
            staged = f"{directory}/{output.name}"
            if directory not in self.disk.names:
                self.disk.mkdir(directory)
            if isinstance(output.data, (Fresh, Copy)) and not output.link:
                made = self.make_new(base, output)
                if output.context.to.startswith("step.") and ("big", True) in output.context.tags:
                    self.disk.create(f"{base}/context/{output.context.uid}", output.context)
                    forced.append(f"{base}/context/{output.context.uid}")
                    staged += "c"
                else:
                    self.disk.setattr(made, output.context)
                fresh.append((made, staged))
                forced.append(made)
            elif not output.link:
                self.disk.create(staged, output.data)
                if self.fsyncs_hops or not staged.endswith((".json", ".tags")):
                    forced.append(staged)
            else:
                self.disk.link(output.link, staged)
                if output.context and self.off("shared_attribute"):
                    self.disk.setattr(staged, output.context)
                elif output.context and parse(output.name):     # the inode is shared: its attribute is never written
                    self.disk.create(f"{base}/context/{output.context.uid}", output.context)
                    if not self.off("no_sidecar_fsync"):
                        forced.append(f"{base}/context/{output.context.uid}")
        for path in forced if self.fsyncs_inodes else []:
            self.disk.fsync(path)
        for made, staged in fresh:
            self.disk.rename(made, staged)

    def make_new(self, base, output):
        """A new inode outside the transaction, complete but for being forced."""
        fresh = f"{base}/out/copy" if base.startswith("tmp/accept/") else f"{parent(base)}/out/copy-{output.name}"
        if isinstance(output.data, Fresh):
            fresh = output.data.path
        else:
            self.disk.create(fresh, output.data.data)
        return fresh

    def tmp_file(self, step, data):
        """What a step does while it runs: nobody sees it before the commit."""
        path = next(p for p in (f"tmp/{step}/out/{n}" for n in itertools.count(1)) if p not in self.disk.names)
        self.disk.create(path, data)
        return Fresh(path)

    def transaction(self, step, jobs, outputs, observe=None):
        """TRANSACTION. The inputs go in last, so what an abort has to undo is: sidecars back, inputs back, the rest away."""
        base, ident = f"tmp/{step}/txn", f"{step}.{spell(jobs[0].name)}"
        for directory in (base, f"{base}/in", f"{base}/out", f"{base}/context"):
            self.disk.mkdir(directory)                                                          # 1
        self.stage(base, outputs)                                                               # 2
        kept = {parse(o.name).uid for o in outputs if parse(o.name)}
        for job in jobs:
            if job.name.sidecar and job.name.uid not in kept:                                   # its sidecar ends with it
                self.disk.rename(f"tmp/context/{job.name.uid}", f"{base}/in/{job.name.uid}.context")    # 3
            self.disk.rename(job.path, f"{base}/in/{spell(job.name)}")                          # 4
        self.disk.rename(base, f"tmp/commit/{ident}", observe=observe)                          # 5: COMMIT
        if self.fsyncs_hops:
            self.disk.fsync("tmp/commit")                                                       # 6
        self.roll_forward(ident)
        for job in jobs:
            self.w.done(job)

    def roll_forward(self, ident):
        """Whatever still stands in the commit directory has not been published: each rename consumes its own record."""
        base = f"tmp/commit/{ident}"
        if self.off("sidecar_last"):
            self.publish_all(base)
        for uid in self.disk.list(f"{base}/context"):
            self.disk.rename(f"{base}/context/{uid}", f"tmp/context/{uid}", over=True)          # 7: sidecars
        self.publish_all(base)                                                                  # 8: outputs
        if ".accept." in ident:
            self.remove_source(base, ident.rpartition(".")[2])                                  # 9
        self.remove_tree(base)                                                                  # 10: inputs, directories

    def remove_source(self, base, uid):
        """What has grown after it was copied is an arrival again, so that the whole of it comes."""
        beside, hidden = f"{base}/in/source", f"mount/.mfdata.{uid}"
        disk, source, directory = (self.disk, beside, "incoming") if beside in self.disk.names else (self.far, hidden, "mount")
        if source not in disk.names or f"{base}/origin" not in self.disk.names:    # a power cut lost what was known of it
            return
        if disk is self.far and self.fsyncs_inodes and not self.off("no_commit_fsync"):
            self.disk.fsync("tmp/commit")                          # the commit must be on disk before the source goes
        context = self.disk.data[self.disk.inode(f"{base}/origin")]
        if len(disk.data[disk.inode(source)]) > context.size and not self.off("no_growth"):
            try:
                return disk.rename(source, f"{directory}/{dict(context.tags)['name']}")
            except FileExistsError:
                return disk.rename(source, f"{directory}/foreign.grown-{uid}")
        disk.unlink(source)

    def publish_all(self, base):
        for target in self.disk.list(f"{base}/out"):
            names = self.disk.list(f"{base}/out/{target}")
            for filename in sorted(names, key=lambda n: (not n.endswith((".json", ".tags")), n)):
                staged, directory = f"{base}/out/{target}/{filename}", target.replace("%2F", "/")
                if filename.endswith(".context"):
                    continue
                if directory == "far":
                    self.deliver_far(staged, directory)
                elif directory == "archive" and not filename.endswith(".tags"):
                    final = dict(self.disk.attrs[self.disk.inode(staged)].tags)["name"]
                    self.deliver(staged, f"{staged}.tags", directory, final)
                elif directory != "archive":
                    self.disk.rename(staged, f"{directory}/{filename}", over=filename.endswith((".json", ".tags")))

    def deliver(self, staged, tags, directory, filename):
        """DELIVER to a directory on the same filesystem. The companion is placed by link, so that after a kill its
        inode tells whether it is ours; the file by rename, so that it is never delivered twice."""
        for suffix in ("", "-1", "-2", "-3"):
            final = f"{directory}/{filename}{suffix}"
            try:
                if tags in self.disk.names and self.disk.names.get(f"{final}.tags") != self.disk.inode(tags):
                    self.disk.link(tags, f"{final}.tags")                                       # 1
            except FileExistsError:
                continue
            try:
                return self.disk.rename(staged, final, over=self.off("replace"))                # 2
            except FileExistsError:
                if tags in self.disk.names:
                    self.disk.unlink(f"{final}.tags")                                           # not our place

    def deliver_far(self, staged, directory):
        """DELIVER to another filesystem: at least once; a repeat recognises its own uid in the attribute."""
        context = self.disk.data[self.disk.inode(f"{staged}.context")]
        hidden, filename = f"{directory}/.mfdata.{context.uid}", dict(context.tags)["name"]
        finals = [f"{directory}/{filename}{suffix}" for suffix in ("", "-1", "-2", "-3")]
        if self.fsyncs_inodes and not self.off("no_commit_fsync"):
            self.disk.fsync("tmp/commit")                   # 0: what leaves the filesystem waits for its commit
            self.disk.fsync(staged)                         # which is the file's attribute where it came by shortcut two
        if not any(f in self.far.names and self.far.attrs[self.far.inode(f)].uid == context.uid for f in finals):
            if hidden in self.far.names:
                self.far.unlink(hidden)
            self.far.create(hidden, self.disk.data[self.disk.inode(staged)])                    # 1
            self.far.setattr(hidden, context)                                                   # 2
            if self.fsyncs_inodes:
                self.far.fsync(hidden)                                                          # 3
            self.far.rename(hidden, next(f for f in finals if f not in self.far.names))         # 4
        ours = next(f for f in finals if f in self.far.names and self.far.attrs[self.far.inode(f)].uid == context.uid)
        if f"{hidden}.tags" in self.far.names:
            self.far.unlink(f"{hidden}.tags")
        self.far.create(f"{hidden}.tags", str(context.tags))       # a copy for people: written anew by a repeat
        self.far.rename(f"{hidden}.tags", f"{ours}.tags", over=True)
        if self.fsyncs_inodes and not self.off("no_far_dir_fsync"):
            self.far.fsync(directory)                                                           # 5
        self.disk.unlink(staged)                                                                # 6

    def remove_tree(self, base):
        for path in sorted((p for p in self.disk.names if p == base or p.startswith(base + "/")), reverse=True):
            self.disk.rmdir(path) if self.disk.names[path] is None else self.disk.unlink(path)

    # ---- recovery

    def recover(self):
        """At start, alone (no worker lives). Nothing is charged."""
        if self.off("sweep_first"):
            self.sweep_outputs()
        for ident in self.disk.list("tmp/commit"):                                              # 1
            self.roll_forward(ident)
        for step in self.w.scenario.steps:
            self.recover_slot(step, crashed=False)                                              # 2..5
        self.recover_accepts(deposits=True)                                                     # 6
        self.sweep_sidecars()                                                                   # 7

    def reap(self, step):
        """A worker of a living loader died: what carries its slot in the name, and deposits that nobody alive has locked."""
        for ident in self.disk.list("tmp/commit") if not self.off("no_roll_at_death") else []:
            if ident.startswith(f"{step}.") and not ident.startswith(f"{step}.accept."):
                self.roll_forward(ident)
        self.recover_slot(step, crashed=True)
        self.recover_deposits()

    def resume_accepts(self, step):
        """The process that accepts what may not be tagged died, the loader lives: so each such process begins."""
        for ident in self.disk.list("tmp/commit"):
            if ident.startswith(f"{step}.accept."):
                self.roll_forward(ident)
        self.recover_accepts(deposits=False)

    def recover_slot(self, step, crashed):
        base = f"tmp/{step}/txn"
        for filename in self.disk.list(f"{base}/in"):                                           # sidecars before files
            if filename.endswith(".context"):
                self.disk.rename(f"{base}/in/{filename}", f"tmp/context/{filename[:-len('.context')]}")
        for filename in self.disk.list(f"{base}/in"):
            self.settle(step, f"{base}/in/{filename}", crashed)
        self.remove_tree(base)                                                                  # outputs nobody has seen
        for filename in self.disk.list(f"tmp/{step}/in"):
            self.settle(step, f"tmp/{step}/in/{filename}", crashed)
        for directory in (f"tmp/{step}/new", f"tmp/{step}/out"):                                # after what may need them
            for filename in self.disk.list(directory):
                self.disk.unlink(f"{directory}/{filename}")

    def recover_accepts(self, deposits):
        for entry in self.disk.list("tmp/accept"):
            base = f"tmp/accept/{entry}"
            if self.disk.names[base] is not None:                                               # a deposit, not acknowledged
                deposits and self.drop_deposit(entry)
            elif f"{base}/in/source" in self.disk.names or f"mount/.mfdata.{entry}" in self.far.names:
                self.remove_tree(f"{base}/out")
                context = self.disk.data[self.disk.inode(f"{base}/origin")]
                mount = f"mount/.mfdata.{entry}" in self.far.names
                self.accept_foreign(context.to[len("step."):], "mount" if mount else "incoming", None, entry)
            else:
                self.remove_tree(base)                                                          # it still stands where it arrived

    def recover_deposits(self):
        for entry in self.disk.list("tmp/accept"):
            if self.disk.names[f"tmp/accept/{entry}"] is not None:
                self.drop_deposit(entry)

    def drop_deposit(self, entry):
        """Its writer is dead, and nobody was told of it: its key before the file, or it would count without it; the file, then a
        sidecar that was placed already."""
        uid, _, key = entry.partition(".")
        path = f"tmp/keys/{key}"
        if path in self.disk.names and self.disk.data[self.disk.inode(path)].split()[0] == uid and not self.off("key_outlives"):
            self.disk.unlink(path)
            if self.fsyncs_inodes:
                self.disk.fsync("tmp/keys")
        self.disk.unlink(f"tmp/accept/{entry}")
        if not entry.endswith(".context") and f"tmp/context/{uid}" in self.disk.names:
            self.disk.unlink(f"tmp/context/{uid}")

    def sweep_sidecars(self):
        """Sidecars that were placed before their file, which then did not come."""
        living = {name.uid for name in (parse(p.rpartition("/")[2]) for p in self.disk.names) if name}
        for uid in self.disk.list("tmp/context"):
            if uid not in living:
                self.disk.unlink(f"tmp/context/{uid}")

    def verdict(self, path):
        name, context = parse(path.rpartition("/")[2]), self.context_of(path)
        if context is None:
            return "arrival" if name.gen == 0 and not name.sidecar else "context missing"
        if context.size != len(self.disk.data[self.disk.inode(path)]) and not self.off("no_size_check"):
            return "emptied"
        return "run" if context.gen == name.gen else "finish" if context.gen > name.gen else "older than its name"

    def settle(self, step, path, crashed):
        """What becomes of a file found in a slot, or of one that must not be run."""
        verdict, name = self.verdict(path), parse(path.rpartition("/")[2])
        if verdict == "finish":
            return self.finish_rename(path, self.context_of(path))
        if verdict not in ("run", "arrival"):
            return self.trash(step, path, verdict)
        if crashed and verdict == "run":
            name = name._replace(crashes=name.crashes + 1)
            if name.crashes >= self.w.scenario.max_crashes:
                return self.trash(step, path, "crashed")
        for suffix in (".json", ".tags") if not self.off("companions_stay") else ():
            if f"trash/{step}/{name.uid}{suffix}" in self.disk.names:
                self.disk.unlink(f"trash/{step}/{name.uid}{suffix}")                            # of a trash move that did not happen
        self.disk.rename(path, f"step.{step}/{spell(name)}")

    def sweep_outputs(self):                                                                    # only for the control
        for ident in self.disk.list("tmp/commit"):
            self.remove_tree(f"tmp/commit/{ident}/out")


# ------------------------------------------------------------------------------------------ world and oracle

Scenario = namedtuple("Scenario", "name steps inject leaves reasons batch max_crashes meanwhile moments",
                      defaults=((), None, 3, None, 1))
BOOT = "everything"


class World:
    """Both filesystems, and what stands outside them: senders, sinks, and the oracle's memory (`outside`)."""

    def __init__(self, scenario, level, power, controls):
        dirs = ["incoming", "archive", "tmp/commit", "tmp/accept", "tmp/context", "tmp/keys"]
        for step in scenario.steps:
            dirs += [f"step.{step}", f"step.{step}_reinject", f"trash/{step}", f"tmp/{step}/in", f"tmp/{step}/new", f"tmp/{step}/out"]
        self.scenario, self.level, self.power, self.controls = scenario, level, power, controls
        self.disk, self.far = Disk(dirs, power), Disk(["far", "mount"], power)
        self.outside = dict(injected=0, uids=0, seen=(), acked=frozenset(), withdrawn=frozenset(), done=frozenset(),
                            requeued=frozenset(), cut=False, grown=False, whole=False)
        self.story = ()

    def copy(self):
        other = World.__new__(World)
        other.__dict__.update(self.__dict__, disk=self.disk.copy(), far=self.far.copy())
        return other

    def key(self):
        return self.disk.key(), self.far.key(), tuple(self.outside.values())

    def note(self, **changes):
        self.outside = {**self.outside, **changes}

    def fresh_uid(self):
        self.note(uids=self.outside["uids"] + 1)
        return f"u{self.outside['uids']}"

    @staticmethod
    def first_tags(filename):
        return (("hops", 0), ("name", filename), ("trail", ""))

    # ---- the oracle listens

    def fail(self, text):
        self.violations.setdefault(text, self.story)

    def see(self, place, content, context):
        """An ending, observed in the same instant as the operation that made it."""
        self.check(place, content, context)
        seen = Counter(dict(self.outside["seen"]))
        seen[content.split("+")[0], place, dict(context.tags)["trail"]] += 1
        self.note(seen=tuple(sorted((k, min(n, 2)) for k, n in seen.items())), whole=self.outside["whole"] or content == "one+more")

    def done(self, job):
        self.note(done=self.outside["done"] | {(job.name.uid, job.name.gen, job.step)})

    def check(self, where, content, context):
        """Content and tags must be what the file's way through the steps makes of them, and nothing else."""
        tags = dict(context.tags)
        hops = [hop for hop in tags["trail"].split() if hop]
        names = {item: filename for _, filename, item, *_ in self.scenario.inject}
        item = content.split("+")[0]
        expected = dict(name=names.get(item, tags["name"]), hops=len(hops), trail=tags["trail"])
        expected.update({f"mark.{hop.split('>')[0]}": number for number, hop in enumerate(hops)})
        expected.update({k: v for k, v in tags.items() if k == "big"})
        if where.startswith("start") and "attempt" in tags:
            expected["attempt"] = sum(uid == context.uid for uid, _ in self.outside["requeued"])
            if self.outside["cut"]:
                expected["attempt"] = tags["attempt"]
        raced = "raced" in self.scenario.reasons and (parse(tags["name"]) or tags["name"].startswith("swapped-"))
        if item in self.outside["withdrawn"] or raced:
            expected["name"] = tags["name"]                # swapped, then killed or its name taken: content only
        if content == "":
            self.fail(f"an emptied file reached {where}")
        elif tags != expected:
            self.fail(f"tags at {where}: {tags} instead of {expected}")

    def check_start(self, job):
        self.check(f"start of {job.step}", job.data, job.context)
        if (job.name.uid, job.name.gen, job.step) in self.outside["done"]:
            if self.level == "every-hop" or not self.outside["cut"]:
                self.fail(f"{job.step} runs again on a file that it had finished")

    def check_rest(self):
        """When nothing moves any more: each file has each of its endings once, and tmp is empty."""
        counts, covers, cut = Counter(dict(self.outside["seen"])), [], self.outside["cut"]
        for disk in (self.disk, self.far):
            for path in [p for p, ino in disk.names.items() if ino is not None]:
                top, _, rest = path.partition("/")
                content, filename = disk.data[disk.names[path]], path.rpartition("/")[2]
                if top == "mount" and filename.startswith(".mfdata.") and cut:
                    continue    # taken, and back after a power cut of that filesystem: nobody looks at it again
                if top in ("incoming", "mount") or top.startswith("step."):
                    self.fail(f"never taken: {path}")
                elif top == "tmp":
                    living = any(parse(p.rpartition("/")[2]) and parse(p.rpartition("/")[2]).uid == filename
                                 for p in disk.names if p.startswith("trash/"))
                    if not (rest.startswith("context/") and living or rest.startswith("keys/")):
                        self.fail(f"left over: {path}")
                elif top == "trash" and not filename.endswith((".json", ".tags")):
                    reason = disk.data.get(disk.names.get(f"{parent(path)}/{parse(filename).uid}.json"))
                    context = Spool(self).context_of(path)
                    if reason not in (*self.scenario.reasons, *(("emptied", "") if cut else ())):
                        self.fail(f"in trash for: {reason}")
                    elif reason == "failed" and context:
                        self.check(path, content, context)
                        counts[content.split("+")[0], parent(path), dict(context.tags)["trail"]] += 1
                    else:
                        covers.append((content.split("+")[0], dict(context.tags)["trail"] if context else ""))
                elif top == "trash" and not any(p.startswith(parent(path) + "/" + filename.split(".")[0] + ".")
                                                and parse(p.rpartition("/")[2]) for p in disk.names):
                    self.fail(f"companion without its file: {path}")
                elif top in ("archive", "far") and not filename.endswith(".tags"):
                    context = disk.attrs.get(disk.names[path])
                    if not context:
                        self.fail(f"no context: {path}")
                        continue
                    self.check(path, content, context)
                    counts[content.split("+")[0], top, dict(context.tags)["trail"]] += 1
                    if top == "archive" and f"{path}.tags" not in disk.names:
                        self.fail(f"without its .tags: {path}")
                    elif top == "archive" and not cut and disk.data[disk.names[f"{path}.tags"]] != str(context.tags):
                        self.fail(f"its .tags is not its context: {path}")
                elif top == "archive" and path[:-len(".tags")] not in disk.names and not cut:
                    self.fail(f"companion without its file: {path}")
            for path in [p for p in disk.names if p.startswith(("tmp/commit/", "tmp/accept/")) or p.endswith("/txn")]:
                self.fail(f"left over: {path}")
        for kind, _, item, *flags in {item[2]: item for item in self.scenario.inject}.values():     # a repeat is the same file
            must = "synced" in flags if cut else kind != "deposit"
            must = (must or item in self.outside["acked"]) and item not in self.outside["withdrawn"]
            for place, trail in self.scenario.leaves[item]:
                number = counts.pop((item, place, trail), 0) + sum(i == item and trail.startswith(t) for i, t in covers)
                if number < 1 and must and not (cut and self.level == "process"):
                    self.fail(f"lost: {item} on its way to {place}")
                if number > 1 and not self.outside["grown"] and (not cut or place == "far" and self.level != "process"):
                    self.fail(f"twice: {item} at {place}")
        if self.outside["grown"] and not self.outside["whole"] and not cut:
            self.fail("lost: what its sender wrote after it was taken")
        for ending in counts:
            if ending[0] not in (LOST, "", *self.outside["withdrawn"]):
                self.fail(f"unexpected ending: {ending}")


# ------------------------------------------------------------------------------------------------ the actors

def inject(world):
    """The next thing that a sender does; nobody can cut it in half, but its data is on disk only if it is synced."""
    kind, filename, item, *flags = world.scenario.inject[world.outside["injected"]]
    world.note(injected=world.outside["injected"] + 1)
    if kind == "deposit":
        world.actor = None
        return Spool(world).deposit(next(iter(world.scenario.steps)), filename, item,
                                    lambda: world.note(acked=world.outside["acked"] | {item}), "big" in flags, "key" if "key" in flags else None)
    disk = world.far if kind == "mount" else world.disk
    path = f"{'incoming' if kind in ('drop', 'foreign') else kind}/{filename}"
    if path in disk.names:
        world.note(withdrawn=world.outside["withdrawn"] | {disk.data[disk.names[path]]})
    disk.serial += 1
    if disk.power:
        disk.journal.append(({parent(path), disk.serial}, disk.names, disk.attrs))
    disk.names, disk.data = {**disk.names, path: disk.serial}, {**disk.data, disk.serial: item}
    if "forged" in flags:
        disk.attrs = {**disk.attrs, disk.serial: Context("forged", 7, len(item), "step.B", (("trail", "A>B"),))}
    disk.volatile |= {disk.serial}
    if "synced" in flags:
        disk.volatile, disk.journal = disk.volatile - {disk.serial}, []


def work(world, step):
    """One worker treats what stands before its step. True if there was anything."""
    spool, disk, jobs = Spool(world), world.disk, []
    world.actor = step
    def accept_foreign(directory, filename):
        world.actor = f"{step}.accept"
        spool.accept_foreign(step, directory, filename)
    sources = [f"step.{step}"] + ["incoming"] * (step == next(iter(world.scenario.steps)))
    for directory in sources:
        if directory == "incoming" and any(disk.names[f"tmp/accept/{entry}"] is None for entry in disk.list("tmp/accept")):
            world.actor = f"{step}.accept"
            spool.resume_accepts(step)
            return True
        for filename in disk.list(directory):
            if filename.startswith("foreign"):
                accept_foreign(directory, filename)
            elif not parse(filename) or spool.verdict(f"{directory}/{filename}") == "arrival":
                jobs.append(spool.accept(step, directory, filename))
            else:
                jobs.append(spool.claim(step, filename))
            if step != world.scenario.batch:
                treat(world, spool, jobs)
                return True
    for filename in world.far.list("mount") if "incoming" in sources else []:
        if not filename.startswith("."):
            accept_foreign("mount", filename)
            return True
    treat(world, spool, jobs)
    return bool(jobs)


def treat(world, spool, jobs):
    """What the plugin answers, and the end that it leads to."""
    jobs = [job for job in jobs if job]
    for job in jobs:
        world.check_start(job)
    if len(jobs) > 1 or jobs and world.scenario.batch == jobs[0].step:
        return spool.transaction(jobs[0].step, jobs, [o for job in jobs for o in batch_outputs(world, spool, job)])
    for job in jobs:
        kind, *args = world.scenario.steps[job.step](job)
        if kind == "end":
            spool.end(job, lambda: world.see(f"ended at {job.step}", job.data, job.context))
        elif kind == "pass":
            spool.pass_on(job, f"step.{args[0]}", hop(job, args[0]))
        elif kind == "archive" and job.name.sidecar:
            outputs = outputs_of(spool, job, kind)
            world.disk.setattr(job.path, outputs[0].context)   # its own inode, which the name does not believe
            spool.transaction(job.step, [job], outputs)
        elif kind == "archive":
            spool.pass_on(job, f"archive/{dict(job.context.tags)['name']}", hop(job, "archive"))
        elif kind == "fail":
            spool.trash(job.step, job.path, "failed")
            world.done(job)
        elif kind == "retry":
            spool.retry(job, tuple(sorted({**dict(job.context.tags), "attempt": 1}.items())))
        else:
            spool.transaction(job.step, [job], outputs_of(spool, job, kind, *args))


def hop(job, target, **more):
    """The tags after a step."""
    tags = {k: v for k, v in job.context.tags if k != "attempt"}
    return tuple(sorted({**tags, **more, "hops": tags["hops"] + 1, f"mark.{job.step}": tags["hops"],
                         "trail": f"{tags['trail']} {job.step}>{target}".strip()}.items()))


def outputs_of(spool, job, kind, *args):
    """What a step has staged when it returns."""
    uid, gen = job.name.uid, job.name.gen + 1
    child = lambda n: f"{uid}_{gen}{n}"                 # a repeat makes the same name
    if kind == "grow":                                  # the attribute no longer holds it: the name gets its `c`
        return [Output(f"step.{args[0]}", f"{uid}.{gen}c", job.path, None, Context(
            uid, gen, job.context.size, f"step.{args[0]}", hop(job, args[0], big=True)))]
    if kind in ("far", "archive"):                      # the context stands beside its file until that is placed
        context = Context(uid, gen, job.context.size, kind, hop(job, kind))
        return [Output(kind, uid, job.path, None, context), Output(kind, f"{uid}.context", None, context, None),
                *[Output(kind, f"{uid}.tags", None, str(context.tags), None)] * (kind == "archive")]
    if kind == "rewrite":
        data, target = f"{job.data}+{job.step}", args[0]
        context = Context(child(0), gen, len(data), target, hop(job, target.removeprefix("step.")))
        name = f"{child(0)}.{gen}" if target != "archive" else child(0)
        companion = [Output(target, f"{name}.tags", None, str(context.tags), None)] if target == "archive" else []
        return [Output(target, name, None, spool.tmp_file(job.step, data), context), *companion]
    return [Output(f"step.{target}", f"{child(number)}.{gen}{'c' * (how == 'link')}", how == "link" and job.path, Copy(job.data),   # fan
                   Context(child(number), gen, job.context.size, f"step.{target}", hop(job, target)))
            for number, (how, target) in enumerate(args)]


def batch_outputs(world, spool, job):
    """A batch fails its second file, retries its third once, and passes the others on."""
    tags, uid, gen = dict(job.context.tags), job.name.uid, job.name.gen + 1
    kept = f"{job.name.uid}.{job.name.gen}{'c' * job.name.sidecar}"
    if job.data == "bad":
        return spool.companions(job.step, uid, job.context, "failed") + [
            Output(f"trash/{job.step}", kept, job.path, None, None)]
    if job.data == "later" and "attempt" not in tags:
        target, due, tags = f"step.{job.step}_reinject", "1000.", {**tags, "attempt": 1}
    else:
        tags.pop("attempt", None)
        target, due, tags = "step.S", "", {**tags, "hops": tags["hops"] + 1, f"mark.{job.step}": tags["hops"],
                                           "trail": f"{tags['trail']} {job.step}>S".strip()}
    return [Output(target, f"{due}{uid}.{gen}c", job.path, None,
                   Context(uid, gen, job.context.size, target, tuple(sorted(tags.items()))))]


def requeue(world):
    """The loader moves back what has waited long enough."""
    world.actor = None
    for step in world.scenario.steps:
        for filename in world.disk.list(f"step.{step}_reinject"):
            due, _, name = filename.partition(".")
            world.disk.rename(f"step.{step}_reinject/{filename}", f"step.{step}/{name}", observe=lambda: world.note(
                requeued=world.outside["requeued"] | {(parse(name).uid, parse(name).gen)}))
            return True
    return False


# -------------------------------------------------------------------------------------------- the explorer

def scenario_waits_for_all(world):
    return world.scenario.batch and world.outside["injected"] < len(world.scenario.inject)


def run(world, start, listen, interrupt_at=None):
    """From a start (what has just been killed) until nothing moves. `listen` hears of every moment between two
    operations; at the moment number `interrupt_at`, and at what follows if the scenario says so, its other actor acts first."""
    moments = itertools.count()

    def moment(what):
        number, world.next = next(moments), what
        if interrupt_at is not None and 0 <= number - interrupt_at < world.scenario.moments:
            actor = world.actor
            world.disk.before = world.far.before = lambda what: listen(world, what, alone=False)
            world.scenario.meanwhile(world)
            world.actor, world.disk.before, world.far.before = actor, moment, moment
        listen(world, what, alone=True)

    world.disk.before = world.far.before = moment
    world.actor = None
    if start:
        step, _, accept = start.partition(".")
        Spool(world).recover() if start == BOOT else Spool(world).resume_accepts(step) if accept else Spool(world).reap(step)
    while scenario_waits_for_all(world):
        inject(world)
    while True:
        if any([work(world, step) for step in world.scenario.steps]) or requeue(world):
            continue
        if world.outside["injected"] == len(world.scenario.inject):
            break
        inject(world)
    world.actor = None
    moment("rest")
    return next(moments) - 1


def explore(scenario, level, power, controls=frozenset(), crashes=2):
    """(states, violations): every sequence of at most `crashes` crashes, from every distinct state once."""
    violations, best, pending = {}, {}, []

    def push(world, start, left, story):
        key = start, world.key()
        if best.get(key, -1) < left:
            best[key] = left
            world.story = story
            pending.append((world, start, left))

    def crash_everywhere(left, known):
        def listen(world, what, alone):
            disk, far = world.disk, world.far
            here = (id(disk.names), id(disk.attrs), id(disk.data), id(far.names), id(far.attrs), id(far.data))
            if (here, world.actor, id(world.outside)) not in known:
                known[here, world.actor, id(world.outside)] = (world.outside, disk.names, disk.attrs, disk.data,
                                                               far.names, far.attrs, far.data)
                for start in (BOOT, world.actor) if world.actor and alone else (BOOT,):
                    push(world.copy(), start, left - 1, world.story + (f"kill {start} before: {what}",))
            if not power:
                return
            for (one, make), (two, make_far) in itertools.product(disk.power_cuts(), list(far.power_cuts())):
                if (one, two, id(world.outside)) not in known:
                    known[one, two, id(world.outside)] = world.outside, make, make_far
                    after = world.copy()
                    after.disk, after.far = make(), make_far()
                    after.note(cut=True)
                    push(after, BOOT, left - 1, world.story + (f"power cut before: {what}",))
        return listen if left else lambda world, what, alone: None

    first = World(scenario, level, power, controls)
    first.violations = violations
    push(first, BOOT, crashes, ())
    while pending and len(violations) < 20:
        start_world, start, left = pending.pop()
        known, moments, at = {}, 0, None
        while True:
            world = start_world.copy()
            try:
                moments = max(moments, run(world, start, crash_everywhere(left, known), at))
                world.check_rest()
            except (FileExistsError, FileNotFoundError, AttributeError) as error:
                world.fail(f"{type(error).__name__}: {error}")
            at = 0 if at is None else at + 1
            if not scenario.meanwhile or at >= moments:
                break
    return len(best), violations


# ------------------------------------------------------------------------------------ scenarios and controls

def answer(*what):
    return lambda job: what


SINK = answer("end")


def ends(*pairs):
    return list(pairs)


def once_again(job):
    return ("pass", "S") if ("attempt", 1) in job.context.tags else ("retry",)


def inject_next(world):
    if world.outside["injected"] < len(world.scenario.inject):
        inject(world)


def go_on_writing(world):
    """The sender of "one" writes more into the file that it has open, whatever its name is by now; once. The instant between
    the last look at the size and the removal is nobody's to guard: the sender had been quiet until then."""
    last_instant = world.next.startswith("unlink") and (world.next.endswith("in/source") or "mount/" in world.next)
    if world.outside["grown"] or last_instant:
        return
    for disk in (world.disk, world.far):
        for path, ino in disk.names.items():
            if ino is not None and disk.data[ino] == "one" and (path.endswith(("incoming/foreign.f", "in/source")) or path.startswith("mount/")):
                disk.data = {**disk.data, ino: "one+more"}
                return world.note(grown=True)


def others_work(world):
    """Every step but the one that is being interrupted treats one file (not during a recovery: then no worker lives)."""
    busy = world.actor
    if busy is None:
        return
    for step in world.scenario.steps:
        if step != busy:
            work(world, step)


AB = "A>B B>S"
SCENARIOS = [
    Scenario("pass-through, the same name twice, cp into a step", dict(A=answer("pass", "B"), B=answer("pass", "S"), S=SINK),
             [("drop", "f", "one", "synced"), ("drop", "f", "two"), ("step.B", "g", "three")],
             dict(one=[("ended at S", AB)], two=[("ended at S", AB)], three=[("ended at S", "B>S")])),
    Scenario("acknowledged deposit", dict(A=answer("pass", "B"), B=answer("pass", "S"), S=SINK),
             [("deposit", "f", "one")], dict(one=[("ended at S", AB)])),
    Scenario("acknowledged deposit, context in a sidecar", dict(A=answer("pass", "B"), B=answer("pass", "S"), S=SINK),
             [("deposit", "f", "one", "big")], dict(one=[("ended at S", AB)])),
    Scenario("deposit with a key, and its repeats", dict(S=SINK), [("deposit", "f", "one", "key")] * 3, dict(one=[("ended at S", "")])),
    Scenario("deposit with a key, repeated at any moment", dict(S=SINK), [("deposit", "f", "one", "key")] * 2,
             dict(one=[("ended at S", "")]), meanwhile=inject_next),
    Scenario("delete", dict(A=answer("pass", "B"), B=answer("end")), [("drop", "f", "one", "synced"), ("drop", "g", "two")],
             dict(one=[("ended at B", "A>B")], two=[("ended at B", "A>B")])),
    Scenario("rewrite", dict(A=answer("rewrite", "step.B"), B=answer("pass", "S"), S=SINK),
             [("drop", "f", "one", "synced")], dict(one=[("ended at S", AB)])),
    Scenario("fan-out: link, copy, the input itself", dict(A=answer("fan", ("link", "X"), ("copy", "Y"), ("link", "B")),
                                                           B=answer("pass", "S"), X=SINK, Y=SINK, S=SINK),
             [("drop", "f", "one", "synced")],
             dict(one=[("ended at X", "A>X"), ("ended at Y", "A>Y"), ("ended at S", AB)])),
    Scenario("deliver, same filesystem (shortcut)", dict(A=answer("pass", "B"), B=answer("archive")),
             [("drop", "f", "one", "synced"), ("drop", "f", "two")],
             dict(one=[("archive", "A>B B>archive")], two=[("archive", "A>B B>archive")])),
    Scenario("deliver, same filesystem (new file)", dict(A=answer("pass", "B"), B=answer("rewrite", "archive")),
             [("drop", "f", "one", "synced"), ("drop", "f", "two")],
             dict(one=[("archive", "A>B B>archive")], two=[("archive", "A>B B>archive")])),
    Scenario("deliver, other filesystem", dict(A=answer("pass", "B"), B=answer("far")),
             [("drop", "f", "one", "synced")], dict(one=[("far", "A>B B>far")])),
    Scenario("FAIL -> trash", dict(A=answer("pass", "B"), B=answer("fail")), [("drop", "f", "one", "synced")],
             dict(one=[("trash/B", "A>B")]), ("failed",)),
    Scenario("RETRY, then pass", dict(A=once_again, S=SINK), [("drop", "f", "one", "synced")], dict(one=[("ended at S", "A>S")])),
    Scenario("batch of two: one passes, one to trash", dict(A=None, S=SINK),
             [("drop", "f", "one", "synced"), ("drop", "g", "bad", "synced")],
             dict(one=[("ended at S", "A>S")], bad=[("trash/A", "")]), ("failed",), "A"),
    Scenario("batch of three with sidecars: passes, trash, retry", dict(A=answer("grow", "B"), B=None, S=SINK),
             [("drop", "f", "one", "synced"), ("drop", "g", "bad", "synced"), ("drop", "h", "later", "synced")],
             dict(one=[("ended at S", AB)], bad=[("trash/B", "A>B")], later=[("ended at S", AB)]), ("failed",), "B"),
    Scenario("context outgrows the attribute, RETRY, pass", dict(A=answer("grow", "B"), B=once_again, S=SINK),
             [("drop", "f", "one", "synced")], dict(one=[("ended at S", AB)])),
    Scenario("context in a sidecar, FAIL -> trash", dict(A=answer("grow", "B"), B=answer("fail")),
             [("drop", "f", "one", "synced")], dict(one=[("trash/B", "A>B")]), ("failed",)),
    Scenario("context in a sidecar, rewrite", dict(A=answer("grow", "B"), B=answer("rewrite", "step.S"), S=SINK),
             [("drop", "f", "one", "synced")], dict(one=[("ended at S", AB)])),
    Scenario("context in a sidecar, deliver", dict(A=answer("grow", "B"), B=answer("archive")),
             [("drop", "f", "one", "synced")], dict(one=[("archive", "A>B B>archive")])),
    Scenario("foreign owner, then pass", dict(A=answer("pass", "S"), S=SINK),
             [("foreign", "foreign.f", "one", "synced"), ("foreign", "foreign.f", "two")],
             dict(one=[("ended at S", "A>S")], two=[("ended at S", "A>S")])),
    Scenario("arrival on another mount, then pass", dict(A=answer("pass", "S"), S=SINK),
             [("mount", "f", "one", "synced")], dict(one=[("ended at S", "A>S")])),
    Scenario("crash limit 2", dict(A=answer("pass", "B"), B=answer("pass", "S"), S=SINK),
             [("drop", "f", "one", "synced")], dict(one=[("ended at S", AB)]), ("crashed",), None, 2),
    Scenario("sender replaces the name at any moment", dict(A=answer("pass", "B"), B=answer("pass", "S"), S=SINK),
             [("drop", "f", "one", "synced"), ("drop", "f", "two", "synced", "forged")],
             dict(one=[("ended at S", AB)], two=[("ended at S", AB)]), ("raced",), meanwhile=inject_next),
    Scenario("sender replaces the name, and takes it again", dict(S=SINK),
             [("drop", "f", "one", "synced"), ("drop", "f", "two", "synced"), ("drop", "f", "three", "synced")],
             {item: [("ended at S", "")] for item in ("one", "two", "three")}, ("raced",), meanwhile=inject_next, moments=2),
    Scenario("foreign owner replaces the name at any moment", dict(S=SINK),
             [("foreign", "foreign.f", "one", "synced"), ("foreign", "foreign.f", "two", "synced")],
             dict(one=[("ended at S", "")], two=[("ended at S", "")]), ("raced",), meanwhile=inject_next),
    Scenario("foreign owner goes on writing at any moment", dict(S=SINK), [("foreign", "foreign.f", "one", "synced")],
             dict(one=[("ended at S", "")]), ("emptied",), meanwhile=go_on_writing),
    Scenario("sender on another mount goes on writing at any moment", dict(S=SINK), [("mount", "f", "one", "synced")],
             dict(one=[("ended at S", "")]), ("emptied",), meanwhile=go_on_writing),
    Scenario("fan-out while the next workers run", dict(A=answer("fan", ("link", "X"), ("link", "B")),
                                                        B=answer("pass", "S"), X=SINK, S=SINK),
             [("drop", "f", "one", "synced")], dict(one=[("ended at X", "A>X"), ("ended at S", AB)]),
             meanwhile=others_work),
]


# Each control removes one protection; the scenario named must then show a violation, or the model sees nothing.
CONTROLS = [
    ("context_last", "process", "pass-through", "the context is written after the rename"),
    ("retry_without_gen", "process", "RETRY", "a retry keeps its generation"),
    ("sweep_first", "process", "rewrite", "outputs are swept before commits are rolled forward"),
    ("no_roll_at_death", "process", "rewrite", "a commit is not rolled forward when its worker dies"),
    ("shared_attribute", "process", "fan-out: link", "the attribute of a shared inode is written"),
    ("sidecar_last", "process", "fan-out while", "a sidecar is placed after its file"),
    ("sidecar_unlinked_after", "process", "fan-out: link", "a file with a sidecar ends by two unlinks"),
    ("half_companion", "process", "deliver, same filesystem (shortcut)", "a companion is believed though its write was killed"),
    ("no_uid", "process", "sender replaces", "a context is believed though it is another file's"),
    ("foreign_publish_first", "process", "foreign owner", "a copy is published before its source is settled"),
    ("no_growth", "process", "foreign owner goes on", "a file that grows after it was taken is not looked at again"),
    ("no_fsync", "accepted", "acknowledged deposit", "no fsync of a new inode before its input goes"),
    ("key_outlives", "process", "deposit with a key, and", "a deposit that is discarded leaves its key"),
    ("no_size_check", "accepted", "pass-through", "an emptied file is not recognised by its size"),
    ("no_sidecar_fsync", "accepted", "context outgrows", "a sidecar is not forced before it replaces the context"),
    ("no_commit_fsync", "accepted", "arrival on another", "a commit is not forced before its source elsewhere goes"),
]


def checked(scenario, level, controls=frozenset()):
    """(states, violations): an exception of the protocol itself counts as a violation."""
    try:
        return explore(scenario, level, level != "process", controls)
    except Exception as error:
        return 0, {f"the protocol is stuck: {error!r}": ()}


def run_scenario(number, level):
    """(whether it holds, its lines)"""
    scenario, began = SCENARIOS[number], time.time()
    states, violations = checked(scenario, level)
    lines = [f"{scenario.name:55} {level:10} {'K' if level == 'process' else 'K+P':4} {states:7} {len(violations):3} {time.time() - began:6.1f}s"]
    for text, story in list(violations.items())[:3]:
        lines.append("\n         ".join(["     ", text, *map(str, story)]))
    return not violations, "\n".join(lines)


def run_control(number):
    """(whether it is noticed, its line)"""
    control, level, name, what = CONTROLS[number]
    scenario = next(s for s in SCENARIOS if s.name.startswith(name))
    _, violations = checked(scenario, level, frozenset([control]))
    return bool(violations), f"control: {what:66} {'noticed' if violations else 'SILENT'}"


def run_task(task):
    function, *arguments = task
    return function(*arguments)


def main():
    """Arguments: words of scenario names (default: all, about six minutes of one processor). --quick: mode K only, about one
    minute. --controls: only the controls, about two minutes. Exit 1 on a violation, or on a control that nobody notices.
    Scenarios know nothing of each other: each processor explores one at a time."""
    quick, only_controls = "--quick" in sys.argv, "--controls" in sys.argv
    words = [a for a in sys.argv[1:] if not a.startswith("--")]
    tasks = []
    for number, scenario in enumerate(SCENARIOS):
        if only_controls or words and not any(w in scenario.name for w in words):
            continue
        levels = ("process",) if quick or scenario.meanwhile in (others_work, go_on_writing) else ("process", "accepted", "every-hop")
        tasks += [(run_scenario, number, level) for level in levels]
    for number, (_, level, _, _) in enumerate(CONTROLS):
        if not words and (not quick or level == "process"):
            tasks.append((run_control, number))
    failed = False
    with multiprocessing.get_context("fork").Pool() as pool:
        for good, text in pool.imap(run_task, tasks):
            failed |= not good
            print(text, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
