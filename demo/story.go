package main

import (
	"context"
	"fmt"
	"time"
)

// run is the story; each chapter fails the demo when it does not come out as
// told.
func (d *demo) run(ctx context.Context) error {
	for number, chapter := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Lock a Debian 12: kernel, systemd, ssh, and what they depend on", d.lockRecipe},
		{"Make signing keys and an empty repository", d.makeRepository},
		{"Build 1.0.0 from the lock, as an ordinary user could", d.buildFirst},
		{"Lock one package more; build 1.1.0 and 1.2.0", d.buildNext},
		{"See what 1.1.0 changes", d.compare},
		{"Check release 1.0.0: every digest, every block, every table", d.verifyRelease},
		{"Publish 1.0.0 and serve the repository on loopback", d.serve},
		{"Boot 1.0.0 on a new virtual machine", d.bootFirst},
		{"Publish 1.1.0; the machine finds it and reboots into it by itself", d.updateToGood},
		{"1.1.0 is tried once, proves healthy and is committed", d.bootGood},
		{"Publish 1.2.0, whose service cannot start; the machine takes it", d.updateToBad},
		{"1.2.0 fails its health check and resets the machine", d.bootBad},
		{"The machine is back on 1.1.0, says why, and 1.2.0 is blocked", d.bootBack},
	} {
		fmt.Printf("\n%2d. %s\n", number+1, chapter.title)
		began := time.Now()
		if err := chapter.run(ctx); err != nil {
			return fmt.Errorf("chapter %d: %w", number+1, err)
		}
		took := time.Since(began)
		fmt.Printf("    (%.1f s)\n", took.Seconds())
		d.summary = append(d.summary, entry{chapter.title, took})
	}
	fmt.Println("\nSummary")
	for number, e := range d.summary {
		fmt.Printf("%2d. %-66s %6.1f s\n", number+1, e.title, e.took.Seconds())
	}
	fmt.Printf("    %-66s %6.1f s\n", "all together", time.Since(d.began).Seconds())
	return nil
}

type entry struct {
	title string
	took  time.Duration
}

// say prints one line of the narration.
func say(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }
