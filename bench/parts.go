package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/machine/debian"
)

// packages make a root of more than 500 MB, as a general purpose server has.
func packages() []string {
	return append(debian.DefaultPackages(), "python3", "perl", "git", "vim", "gcc", "curl", "rsync", "tcpdump", "man-db", "nftables", "locales")
}

func (b *bench) makeRoot(ctx context.Context, cache string) error {
	var err error
	b.root, err = debian.Root(ctx, debian.Config{Dir: cache, Packages: packages()})
	if err != nil {
		return err
	}
	info, err := os.Stat(b.root)
	if err != nil {
		return err
	}
	if info.Size() < 500e6 {
		return fmt.Errorf("%s has %d bytes: want 500 MB", b.root, info.Size())
	}
	if err := os.Mkdir(b.Path("tree"), 0o755); err != nil {
		return err
	}
	// The peers want the tree unpacked; devices need root, and weigh nothing.
	_, err = b.Command(ctx, "tar --exclude='./dev/*' --no-same-owner -xf "+b.root+" -C tree")
	return err
}

// recipe is what the builds are made from. Version after version differs in one
// file, so that no two releases are equal.
const recipe = `product: bench
platform: qemu
sources:
  - tar: %s
  - dir: overlay
update: {repository: "http://127.0.0.1:%s", root: repo/metadata/root.json}
`

const port = "8439"

func (b *bench) building(ctx context.Context) error {
	if err := os.MkdirAll(b.Path("overlay", "etc"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(b.Path("recipe.yaml"), fmt.Appendf(nil, recipe, b.root, port), 0o644); err != nil {
		return err
	}
	if _, err := b.Command(ctx, "proa key new -o keys && proa repo init repo --keys keys"); err != nil {
		return err
	}
	us, them, err := b.sideBySide(ctx,
		side{command: "proa build -q . -o out/1.0.0 --version 1.0.0 --force"},
		side{command: "rm -f peer.erofs peer.verity && mkfs.erofs -T 0 peer.erofs tree && veritysetup format peer.erofs peer.verity"})
	if err != nil {
		return err
	}
	b.noteTime("proa build, tar to disk.raw", workbench.Median(us))
	b.noteTime("mkfs.erofs and veritysetup format", workbench.Median(them))
	b.noteRatio(workbench.Median(us), workbench.Median(them), 2)
	b.noteBytes("proa build, peak memory", workbench.Peak(us), 512<<20)
	b.note("mkfs.erofs and veritysetup, peak memory", fmt.Sprintf("%.2f MiB", float64(workbench.Peak(them))/(1<<20)), "", false)
	return nil
}

func (b *bench) publishing(ctx context.Context) error {
	if err := os.WriteFile(b.Path("overlay", "etc", "motd"), []byte("1.1.0\n"), 0o644); err != nil {
		return err
	}
	if _, err := b.Command(ctx, "proa build -q . -o out/1.1.0 --version 1.1.0"); err != nil {
		return err
	}
	s, err := b.Command(ctx, "proa repo publish -q out/1.1.0 --repo repo --keys keys --channel stable")
	if err != nil {
		return err
	}
	b.noteTime("proa repo publish", s.Took)
	return nil
}

func (b *bench) updating(ctx context.Context) error {
	stop, err := b.serve()
	if err != nil {
		return err
	}
	defer stop()
	transport, err := filepath.Glob(b.Path("repo", "targets", "releases", "bench", "amd64", "1.1.0", "*transport.json"))
	if err != nil {
		return err
	}
	if len(transport) != 1 {
		return fmt.Errorf("the repository has %d transport.json of 1.1.0: want 1", len(transport))
	}
	var t struct {
		Root struct{ Digest string }
	}
	if err := workbench.ReadJSON(transport[0], &t); err != nil {
		return err
	}
	hex := t.Root.Digest[len("sha256:"):]
	encoded := b.Path("repo", "artifacts", hex[:2], hex)
	host := workbench.Host{Release: "out/1.0.0", Repository: "repo", URL: "http://127.0.0.1:" + port}
	if err := host.Make(ctx, &b.Bench); err != nil {
		return err
	}
	var us, them []workbench.Sample
	for round := range rounds + 1 {
		if err := host.Reset(ctx, &b.Bench); err != nil {
			return err
		}
		ours, err := b.Command(ctx, "proa-agent --host host/host.yaml update -q")
		if err != nil {
			return err
		}
		theirs, err := b.Command(ctx, "rm -f peer.root && zstd -qdf "+encoded+" -o peer.root && sync peer.root")
		if err != nil {
			return err
		}
		if round > 0 {
			us, them = append(us, ours), append(them, theirs)
		}
	}
	ratio := workbench.Median(them).Seconds() / workbench.Median(us).Seconds()
	b.noteTime("proa-agent update", workbench.Median(us))
	b.noteTime("zstd -d to a file, synced", workbench.Median(them))
	b.note("  speed against zstd", fmt.Sprintf("%.2f", ratio), "at least 0.5", ratio < 0.5)
	b.noteBytes("proa-agent update, peak memory", workbench.Peak(us), 64<<20)
	return nil
}

// serve runs proa serve until stop is called.
func (b *bench) serve() (stop func(), err error) {
	server := exec.Command(filepath.Join(b.Programs, "proa"), "serve", b.Path("repo"), "--listen", "127.0.0.1:"+port)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
	}
	for range 100 {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			return stop, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, errors.New("proa serve does not listen")
}

func (b *bench) sizes(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, filepath.Join(b.Programs, "proa"), "inspect", "--json", b.Path("out", "1.0.0", "uki.efi")).Output()
	if err != nil {
		return err
	}
	var d struct {
		Kernel struct {
			Sections []struct {
				Name string
				Size int64
			}
		}
	}
	if err := json.Unmarshal(out, &d); err != nil {
		return err
	}
	for _, s := range d.Kernel.Sections {
		if s.Name == ".initrd" {
			b.noteBytes("initrd with modules", s.Size, 2<<20)
		}
	}
	for _, program := range []struct {
		name string
		most int64
	}{{"proa-agent", 15 << 20}, {"proa-init", 3 << 20}} {
		info, err := os.Stat(filepath.Join(b.Programs, program.name))
		if err != nil {
			return err
		}
		b.noteBytes(program.name, info.Size(), program.most)
	}
	return nil
}
