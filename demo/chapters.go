package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/machine/workshop"
)

// lockRecipe finds out which packages the recipe's image is made of.
func (d *demo) lockRecipe(ctx context.Context) error {
	if err := os.CopyFS(filepath.Join(d.folder, "image"), os.DirFS(filepath.Join(d.checkout, "images", "debian"))); err != nil {
		return err
	}
	say("images/debian/recipe.yaml names 13 packages, Debian's archive and Debian's keys")
	out, err := d.proa(ctx, "lock", "image")
	if err != nil {
		return err
	}
	const some = 6
	d.show(out, some)
	return nil
}

func (d *demo) makeRepository(ctx context.Context) error {
	if _, err := d.proa(ctx, "key", "new", "-o", "keys"); err != nil {
		return err
	}
	if _, err := d.proa(ctx, "repo", "init", "repo", "--keys", "keys"); err != nil {
		return err
	}
	say("images/debian/recipe.yaml will carry repo/metadata/root.json: what its machines trust")
	trusted, err := os.ReadFile(filepath.Join(d.folder, "repo", "metadata", "root.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.folder, "image", "root.json"), trusted, 0o644); err != nil {
		return err
	}
	if err := replace(filepath.Join(d.folder, "image", "recipe.yaml"), "http://10.0.2.2:8437", d.repository); err != nil {
		return err
	}
	say("its machines will look for updates every minute, and not every hour as they do by default")
	return replace(filepath.Join(d.folder, "image", "overlay", "etc", "proa", "agent.yaml"),
		"healthLimit: 1m\n", "healthLimit: 1m\npoll: 1m\njitter: 0s\nwatch: 10s\n")
}

func (d *demo) buildFirst(ctx context.Context) error {
	// The image also gets the program that runs the commands which the demo shows.
	if err := workshop.AddGuest(ctx, filepath.Join(d.folder, "image", "release")); err != nil {
		return err
	}
	say("packages are downloaded and unpacked once, and kept in .build")
	return d.build(ctx, "1.0.0", "hello from 1.0.0\n")
}

// buildNext builds 1.1.0, which has one package more and says something else,
// and 1.2.0, whose service has nothing to say and cannot start.
func (d *demo) buildNext(ctx context.Context) error {
	say("the recipe also asks for less, a pager; the lock says what comes with it")
	recipe := filepath.Join(d.folder, "image", "recipe.yaml")
	if err := replace(recipe, "        - kmod\n", "        - kmod\n        - less\n"); err != nil {
		return err
	}
	out, err := d.proa(ctx, "lock", "image")
	if err != nil {
		return err
	}
	const all = 100
	d.show(out, all)
	if err := d.build(ctx, "1.1.0", "hello from 1.1.0\n"); err != nil {
		return err
	}
	return d.build(ctx, "1.2.0", "")
}

// build builds a release whose service says message, from the lock alone.
func (d *demo) build(ctx context.Context, version, message string) error {
	path := filepath.Join(d.folder, "image", "release", "usr", "share", "hello", "message")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	var err error
	if message == "" {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, []byte(message), 0o644)
	}
	if err != nil {
		return err
	}
	out, err := d.proa(ctx, "build", "image", "--locked", "-o", "out/"+version, "--version", version)
	if err != nil {
		return err
	}
	d.show(out, 1)
	return nil
}

func (d *demo) compare(ctx context.Context) error {
	out, err := d.proa(ctx, "diff", "out/1.0.0", "out/1.1.0")
	if err != nil {
		return err
	}
	const some = 25
	d.show(out, some)
	return nil
}

// replace replaces text in a file that has it.
func replace(path, old, by string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), old) {
		return fmt.Errorf("%s: no %q in it", path, old)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), old, by, 1)), 0o644)
}

func (d *demo) verifyRelease(ctx context.Context) error {
	out, err := d.proa(ctx, "verify", "out/1.0.0")
	if err != nil {
		return err
	}
	const all = 100
	d.show(out, all)
	return nil
}

func (d *demo) publish(ctx context.Context, version string) error {
	_, err := d.proa(ctx, "repo", "publish", "out/"+version, "--repo", "repo", "--keys", "keys", "--channel", "stable", "--deltas", "1")
	return err
}

func (d *demo) serve(ctx context.Context) error {
	if err := d.publish(ctx, "1.0.0"); err != nil {
		return err
	}
	return d.startServer()
}

func (d *demo) bootFirst(ctx context.Context) error {
	disk := filepath.Join(d.folder, "machine.raw")
	if err := machine.Clone(disk, filepath.Join(d.folder, "out", "1.0.0", "disk.raw")); err != nil {
		return err
	}
	var err error
	d.machine, err = machine.New(machine.Config{
		Disk:   disk,
		Dir:    filepath.Join(d.folder, "machine"),
		Memory: machine.MemoryDebian,
		CPUs:   2,
	})
	if err != nil {
		return err
	}
	say("QEMU with OVMF, systemd-boot, the kernel image, proa-init, dm-verity, systemd; emulated, without KVM")
	if err := d.powerOn(ctx, "1.0.0", "a", "committed"); err != nil {
		return err
	}
	// It answers before all of its services have been started.
	if _, err := d.guest(ctx, 0, "systemctl is-system-running --wait && findmnt -n -o SOURCE,FSTYPE,OPTIONS / && cat /run/hello"); err != nil {
		return err
	}
	if err := d.awaitAgent(ctx); err != nil {
		return err
	}
	_, err = d.guest(ctx, 0, "proa-agent status")
	return err
}

func (d *demo) updateToGood(ctx context.Context) error {
	if err := d.publish(ctx, "1.1.0"); err != nil {
		return err
	}
	say("nobody does anything in the machine: proa-agent.service looks for updates, and logind reboots")
	return d.awaitReboot(ctx)
}

func (d *demo) bootGood(ctx context.Context) error {
	if err := d.powerOn(ctx, "1.1.0", "b", "committed"); err != nil {
		return err
	}
	say("committed %.0f s after power-on", time.Since(d.boot.Start).Seconds())
	if err := d.awaitAgent(ctx); err != nil {
		return err
	}
	for _, command := range []string{
		"cat /run/hello",
		"proa-agent status",
		"journalctl -t proa-agent -o cat --no-pager",
		"busctl get-property org.proa.Agent1 /org/proa/Agent1 org.proa.Agent1 RunningVersion",
	} {
		if _, err := d.guest(ctx, 0, command); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) updateToBad(ctx context.Context) error {
	if err := d.publish(ctx, "1.2.0"); err != nil {
		return err
	}
	return d.awaitReboot(ctx)
}

func (d *demo) bootBad(ctx context.Context) error {
	if err := d.powerOn(ctx, "1.2.0", "a", "trial"); err != nil {
		return err
	}
	say("1.2.0 runs, on trial; nobody does anything now")
	return d.awaitReboot(ctx)
}

func (d *demo) bootBack(ctx context.Context) error {
	if err := d.powerOn(ctx, "1.1.0", "b", "committed"); err != nil {
		return err
	}
	if err := d.awaitAgent(ctx); err != nil {
		return err
	}
	if _, err := d.guest(ctx, 5, "proa-agent status"); err != nil {
		return err
	}
	_, err := d.guest(ctx, 3, "proa-agent update --quiet")
	return err
}

// powerOn boots the machine and waits until it runs the given release from the
// given slot with the given standing.
func (d *demo) powerOn(ctx context.Context, version, slot, standing string) error {
	var err error
	if d.boot, err = d.machine.Boot(ctx); err != nil {
		return err
	}
	if err := d.boot.WaitReady(ctx); err != nil {
		return err
	}
	say("the guest answers %.0f s after power-on", time.Since(d.boot.Start).Seconds())
	return d.waitFor(ctx, version, slot, standing)
}

// waitFor asks the agent until the guest stands as told.
func (d *demo) waitFor(ctx context.Context, version, slot, standing string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var last string
	for {
		result, err := d.boot.Run(ctx, "proa-agent status --offline --json")
		if err != nil {
			return fmt.Errorf("waiting for %s in slot %s, %s: %w; the last status was: %s", version, slot, standing, err, last)
		}
		last = result.Stdout + result.Stderr
		var status struct {
			Running struct{ Version, Slot, Standing string }
		}
		if err := json.Unmarshal([]byte(result.Stdout), &status); err == nil {
			if r := status.Running; r.Version == version && r.Slot == slot && r.Standing == standing {
				return nil
			}
		}
		time.Sleep(time.Second)
	}
}
