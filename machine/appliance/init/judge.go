package main

import (
	"errors"
	"os"
	"os/exec"
)

const agent = "/usr/bin/proa-agent"

// startJudge starts the agent's judge in the background, as proa-judge.service
// does under systemd, when the image has an agent.
func startJudge() error {
	if _, err := os.Stat(agent); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	cmd := exec.Command(agent, "judge")
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
