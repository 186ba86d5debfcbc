package installer

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/slots"
)

// Config is one installation.
type Config struct {
	Source Source // required
	Disk   string // path of a whole disk, or of a file; required
	// Wipe is the disk's Name: what makes it allowed to lose what is on it.
	Wipe string
	// Settings is the machine's configuration, put onto the boot partition as
	// SettingsPath. Optional; at most SettingsMost bytes.
	Settings []byte
	// BootFiles are further files of the boot partition by their path, such as
	// "loader/keys/auto/db.auth". Optional; they must not be empty.
	BootFiles map[string][]byte
	// SectorSize is that of the disk that a file stands for, 512 or 4096; 0 means
	// 512. A disk has its own.
	SectorSize int64
	// AnyArch allows a release on a disk of this machine that is for another
	// architecture.
	AnyArch bool

	Machine  Machine           // where this machine's disks are told of
	FS       hostfs.FS         // nil means this machine's
	Progress progress.Reporter // nil tells nobody
}

// SettingsPath is where the boot partition has the machine's configuration.
const (
	SettingsPath = "proa/config"
	SettingsMost = 1 << 20
)

// Result is what was done.
type Result struct {
	Product    string            `json:"product"`
	Version    manifests.Version `json:"version"`
	Arch       manifests.Arch    `json:"arch"`
	Disk       string            `json:"disk"`
	Size       int64             `json:"size"`       // bytes of the disk
	SectorSize int64             `json:"sectorSize"` // bytes
	Slot       int64             `json:"slot"`       // bytes of each root partition
	Var        int64             `json:"var"`        // bytes of the partition for /var
	Written    int64             `json:"written"`    // bytes that were not right already
	Already    bool              `json:"already"`    // the disk was as it should be: nothing was written
	Resumed    bool              `json:"resumed"`    // an installation that was cut went on

	// ESP is the boot partition, for Register.
	ESP partitions.Partition `json:"-"`
}

// DataError says that a disk holds something, and nobody said that it may go.
type DataError struct {
	Disk  string
	Name  string // what Config.Wipe has to be
	Holds string
}

func (e *DataError) Error() string { return fmt.Sprintf("%s holds data: %s", e.Disk, e.Holds) }

// job is one run of Install. Each field is set by one step.
type job struct {
	Config
	release manifests.Release
	info    Disk
	disk    hostfs.File // open disk

	content  contents                    // look at the disk
	layout   partitions.Layout           // lay it out
	files    map[string]diskimage.Source // lay it out: of the boot partition
	already  bool                        // compare
	written  int64
	readBack []piece // write the boot partition: what must be there
}

// Install makes the disk one that boots the release, with an empty /var. It refuses
// a disk that is in use (*UsedError), too small (*TooSmallError), for another
// architecture (*ArchError), or holds data that may not go (*DataError); then nothing
// has been written. Any later error, and the end of ctx, leaves a disk without a table,
// which boots nothing; running it again goes on. A disk that is already what it would
// become is left as it is.
func Install(ctx context.Context, c Config) (Result, error) {
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	if c.FS == nil {
		c.FS = hostfs.OS{}
	}
	j := &job{Config: c, release: c.Source.Release()}
	if err := j.checkSettings(); err != nil {
		return Result{}, err
	}
	release, err := j.open()
	if err != nil {
		return Result{}, err
	}
	defer release()
	for _, step := range []struct {
		name   string
		run    func(context.Context) error
		writes bool
	}{
		{"looking at the disk", j.look, false},
		{"laying the disk out", j.layOut, false},
		{"comparing the disk", j.compare, false},
		{"taking the old table off", j.eraseTable, true},
		{"clearing what the system fills", j.clear, true},
		{"writing the root image", j.writeRoot, true},
		{"writing the boot partition", j.writeESP, true},
		{"reading the boot partition back", j.readESPBack, true},
		{"writing the partition table", j.writeTable, true},
		{"taking the mark off", j.unmark, false},
	} {
		if j.already && step.writes {
			continue
		}
		if err := step.run(ctx); err != nil {
			return Result{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return j.result(), nil
}

func (j *job) result() Result {
	root, _ := j.layout.Find(partitions.RoleRootA)
	last, _ := j.layout.Find(partitions.RoleVar)
	esp, _ := j.layout.Find(partitions.RoleESP)
	return Result{
		Product: j.release.Product, Version: j.release.Version, Arch: j.release.Arch,
		Disk: j.info.Path, Size: j.info.Size, SectorSize: j.info.SectorSize, Slot: root.Size, Var: last.Size,
		Written: j.written, Already: j.already, Resumed: j.content.unfinished && !j.already,
		ESP: esp,
	}
}

func (j *job) checkSettings() error {
	if j.Settings != nil && (len(j.Settings) == 0 || len(j.Settings) > SettingsMost) {
		return fmt.Errorf("configuration of %d bytes: want 1 to %d", len(j.Settings), SettingsMost)
	}
	return nil
}

// look finds out what is on the disk.
func (j *job) look(context.Context) (err error) {
	j.content, err = examine(j.disk, j.info.Size)
	return err
}

// mayWrite is asked before the first write.
func (j *job) mayWrite() error {
	if j.Wipe != "" || j.content.blank || j.content.unfinished {
		return nil
	}
	return &DataError{Disk: j.info.Path, Name: j.info.Name, Holds: j.content.text}
}

func (j *job) layOut(ctx context.Context) error {
	files, err := j.Source.BootFiles(ctx)
	if err != nil {
		return err
	}
	for path, content := range j.BootFiles {
		if _, taken := files[path]; taken {
			return fmt.Errorf("file %s for the boot partition: given twice", path)
		}
		files[path] = diskimage.InMemory(content)
	}
	if j.Settings != nil {
		files[SettingsPath] = diskimage.InMemory(j.Settings)
	}
	j.files = files
	j.layout, err = lay(j.Source.Layout(), j.release, files, j.info)
	return err
}

// root is the release's root image.
func (j *job) root() verity.Root {
	r := j.release.Root
	return verity.Root{Hash: [verity.HashSize]byte(r.Hash), Salt: r.Salt, Blocks: r.Blocks}
}

// slot is the one that is written.
func (j *job) slot() *slots.Slot {
	return &slots.Slot{Letter: partitions.SlotA, Root: j.partition(partitions.SlotA.Root()), Tree: j.partition(partitions.SlotA.Verity())}
}

func (j *job) partition(role partitions.Role) hostfs.File {
	p, _ := j.layout.Find(role)
	return hostfs.Section(j.disk, p.Start, p.Size)
}

// compare finds out whether there is anything to do, and whether it may be done. A name
// that is not the disk's means that another one was meant, whatever is on this one. Only
// a disk with exactly our table can be right; that it may be wiped is no reason to.
func (j *job) compare(ctx context.Context) error {
	if j.Wipe != "" && j.Wipe != j.info.Name {
		return fmt.Errorf("the disk to wipe is named %q: %s is %q", j.Wipe, j.info.Path, j.info.Name)
	}
	if j.sameTable() {
		same, err := j.sameContent(ctx)
		if err != nil {
			return err
		}
		if same {
			j.already = true
			return nil
		}
	}
	return j.mayWrite()
}

func (j *job) sameTable() bool {
	table, err := gpt.ReadSectors(j.disk, j.info.Size, j.info.SectorSize)
	return err == nil && table.Damaged == "" && sameLayout(table, j.layout)
}

// sameContent looks at the boot partition first, which is quick.
func (j *job) sameContent(ctx context.Context) (bool, error) {
	if err := j.pieces(); err != nil {
		return false, err
	}
	if err := j.readESPBack(ctx); err != nil {
		return false, ctx.Err()
	}
	step := j.Progress.Step("compare root image", j.root().Size())
	err := j.slot().Verify(ctx, j.root(), step)
	step.Done(ctx.Err())
	return err == nil, ctx.Err()
}
