package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const agent = "/usr/bin/proa-agent"

// serviceMark is there in images whose agent keeps them up to date by itself, as
// proa-agent.service does under systemd; in others the tests are the agent's owner.
const serviceMark = "/usr/lib/appliance/agent-service"

// deadline is that of proa-deadline.timer.
const deadline = 15 * time.Minute

// startJudge does what proa-judge.service and proa-deadline.timer do under
// systemd, when the image has an agent: the judge starts at once.
func startJudge() error {
	if _, err := os.Stat(agent); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	time.AfterFunc(deadline, func() {
		if _, err := startAgent("judge", "--deadline"); err != nil {
			fmt.Fprintln(os.Stderr, "appliance: at the deadline:", err)
		}
	})
	judged, err := startAgent("judge")
	if err != nil {
		return err
	}
	if _, err := os.Stat(serviceMark); err != nil {
		return nil
	}
	go func() {
		<-judged
		if _, err := startAgent("run"); err != nil {
			fmt.Fprintln(os.Stderr, "appliance: starting the agent:", err)
		}
	}()
	return nil
}

// startAgent tells on the channel when the agent has ended.
func startAgent(args ...string) (<-chan struct{}, error) {
	cmd := exec.Command(agent, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		// What came of it is the journal's matter; waiting only reaps it.
		_ = cmd.Wait()
		close(ended)
	}()
	return ended, nil
}
