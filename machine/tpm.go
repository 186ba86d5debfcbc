package machine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// tpm is a software TPM 2.0 (swtpm) for one boot. Its state is kept in a folder
// of the machine, as a chip would keep it.
type tpm struct {
	cmd        *exec.Cmd
	control    *os.File // swtpm's end, until it has started
	qemu       *os.File // the end that QEMU inherits
	complaints bytes.Buffer
}

// newTPM prepares a TPM whose state is in folder. Both ends of its control
// channel are open until start, or close.
func newTPM(folder string) (*tpm, error) {
	program, err := findTPM()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket pair for the TPM: %w", err)
	}
	t := &tpm{control: os.NewFile(uintptr(fds[0]), "tpm"), qemu: os.NewFile(uintptr(fds[1]), "tpm of qemu")}
	const control = 3 // the first of exec.Cmd.ExtraFiles
	t.cmd = exec.Command(program, "socket", "--tpm2", "--terminate",
		"--tpmstate", "dir="+folder, "--ctrl", "type=unixio,clientfd="+strconv.Itoa(control))
	t.cmd.ExtraFiles = []*os.File{t.control}
	t.cmd.Stdout, t.cmd.Stderr = &t.complaints, &t.complaints
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return t, nil
}

func findTPM() (string, error) {
	const name = "swtpm"
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &MissingError{What: name, Looked: []string{"$PATH"}, Package: "swtpm"}
	}
	return path, nil
}

// start must be called on a thread that lives as long as the TPM is to.
func (t *tpm) start() error {
	if t == nil {
		return nil
	}
	err := t.cmd.Start()
	t.control.Close()
	return err
}

// wait waits until the TPM has ended, which it does with QEMU, and returns what
// it complained about.
func (t *tpm) wait() string {
	if t == nil {
		return ""
	}
	t.qemu.Close()
	_ = t.cmd.Wait() // its complaints say more than its exit code
	return t.complaints.String()
}

func (t *tpm) close() {
	if t != nil {
		t.control.Close()
		t.qemu.Close()
	}
}

// tpmFolder is where the state of the machine's TPM is.
func (m *Machine) tpmFolder() string { return filepath.Join(m.config.Dir, "tpm") }

// tpmArguments are QEMU's for the TPM.
func (c Config) tpmArguments() []string {
	if !c.TPM {
		return nil
	}
	return []string{
		"-chardev", fmt.Sprintf("socket,id=tpm,fd=%d", tpmFD),
		"-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm",
	}
}
