package workshop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Serve runs a compiled proa that serves a repository on a port of loopback.
// It ends with stop, and with the program that called Serve.
func Serve(proa, repository string) (at *url.URL, stop func(), err error) {
	cmd := exec.Command(proa, "serve", repository, "--listen", "127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		_ = cmd.Wait() // killed
	}
	if at, err = announcedURL(stdout); err != nil {
		stop()
		return nil, nil, fmt.Errorf("proa serve: %w", err)
	}
	go io.Copy(io.Discard, stdout)
	return at, stop, nil
}

// announcedURL is the first URL in what proa serve prints.
func announcedURL(r io.Reader) (*url.URL, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		for _, word := range strings.Fields(lines.Text()) {
			if strings.HasPrefix(word, "http://") {
				return url.Parse(word)
			}
		}
	}
	return nil, errors.Join(errors.New("it named no URL"), lines.Err())
}
