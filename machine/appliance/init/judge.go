package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const agent = "/usr/bin/proa-agent"

// deadline is that of proa-deadline.timer.
const deadline = 15 * time.Minute

// startJudge does what proa-judge.service and proa-deadline.timer do under
// systemd, when the image has an agent: the judge starts at once.
func startJudge() error {
	if _, err := os.Stat(agent); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	time.AfterFunc(deadline, func() {
		if err := startAgent("judge", "--deadline"); err != nil {
			fmt.Fprintln(os.Stderr, "appliance: at the deadline:", err)
		}
	})
	return startAgent("judge")
}

func startAgent(args ...string) error {
	cmd := exec.Command(agent, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		// What came of it is the journal's matter; waiting only reaps it.
		_ = cmd.Wait()
	}()
	return nil
}
