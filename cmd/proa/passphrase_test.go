package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal is both ends of a terminal: a person's, and a program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestCtrlCAtAPassphraseEndsTheCommand presses it where one is asked for, and
// looks at what the shell gets back.
func TestCtrlCAtAPassphraseEndsTheCommand(t *testing.T) {
	t.Parallel()
	person, program := openTerminal(t)
	w := keyWorld{t.TempDir()}
	w.run(t, `echo open sesame >pass
proa key new -o ann.pem --passphrase-file pass
proa repo root init --add-key root=ann.pub --add-key targets=ann.pub --add-key snapshot=ann.pub --add-key timestamp=ann.pub -o root.json`)
	cmd := exec.Command("proa", "repo", "root", "sign", "root.json", "--key", "ann.pem")
	var said strings.Builder
	cmd.Dir, cmd.Stdin, cmd.Stdout = w.folder, program, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	prompt := make([]byte, len("passphrase of ann.pem: "))
	if _, err := stderr.Read(prompt); err != nil || string(prompt) != "passphrase of ann.pem: " {
		t.Fatalf("asked %q: %v", prompt, err)
	}
	for shows(t, program) { // until it is read
		time.Sleep(time.Millisecond)
	}
	if _, err := person.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || said.Len() > 0 {
		t.Errorf("ended with %v, said %q", err, said.String())
	}
	if !shows(t, program) {
		t.Error("the terminal no longer shows what is typed")
	}
}
