package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	tpmPath = "/dev/tpmrm0"
	tpmWait = 3 * time.Second // for a driver that has been loaded to find its chip
)

// findTPM waits a moment for the TPM.
func findTPM(path string, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; time.Sleep(pollInterval) {
		if _, err := os.Stat(path); err == nil {
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("this machine has no TPM 2.0: %w", err)
		}
	}
}

// closeKey makes the TPM keep to itself what it gave, or would have given, to this
// boot. Without a TPM there is nothing to close, unless the kernel image's stub has
// measured into one: that one must be found, or else a driver that the running
// system loads would find it, with a key to give.
func closeKey(path string, store variables, wait time.Duration) error {
	_, err := store.read(stubMeasured, loaderVendor)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err := findTPM(path, wait); err != nil {
		return fmt.Errorf("the kernel image was measured into a TPM: %w", err)
	}
	return leaveInitrd(path)
}

// leaveInitrd measures the word with which systemd ends the phase of the initrd
// (systemd-pcrphase.service(8)): PCR 11 then has a value that nobody has signed, so
// that what runs later does not get from the TPM what the initrd got.
func leaveInitrd(path string) error {
	tpm, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer tpm.Close()
	if _, err := tpm.Write(pcrEvent(11, "leave-initrd")); err != nil {
		return err
	}
	answer := make([]byte, 4096) // the most that a TPM says
	n, err := tpm.Read(answer)
	if err != nil {
		return err
	}
	return checkAnswer(answer[:n])
}

// pcrEvent is the command that measures an event in all banks of a register
// (TPM 2.0 Library Specification, part 3, TPM2_PCR_Event).
func pcrEvent(register uint32, event string) []byte {
	const (
		sessions = 0x8002     // TPM_ST_SESSIONS
		code     = 0x0000013c // TPM_CC_PCR_Event
		password = 0x40000009 // TPM_RS_PW, here an empty one
	)
	order := binary.BigEndian
	body := order.AppendUint32(nil, register)
	body = order.AppendUint32(body, 9) // bytes of the session
	body = order.AppendUint32(body, password)
	body = append(body, 0, 0, 0, 0, 0) // no nonce, no attributes, no password
	body = order.AppendUint16(body, uint16(len(event)))
	body = append(body, event...)
	command := order.AppendUint16(nil, sessions)
	command = order.AppendUint32(command, uint32(10+len(body)))
	command = order.AppendUint32(command, code)
	return append(command, body...)
}

// checkAnswer is nil if the TPM did what it was told.
func checkAnswer(answer []byte) error {
	if len(answer) < 10 {
		return fmt.Errorf("the TPM answered %d bytes: want at least 10", len(answer))
	}
	if code := binary.BigEndian.Uint32(answer[6:]); code != 0 {
		return fmt.Errorf("the TPM answered with error %#x", code)
	}
	return nil
}
