package erofs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/progress"
)

// write writes the image, every part of which has its place by now.
func (p *plan) write(out *output, config Config) error {
	if err := out.write(p.superblock(config)); err != nil {
		return err
	}
	for _, i := range p.inBlocks() {
		if err := out.zeros(i.block * BlockSize); err != nil {
			return err
		}
		if err := out.content(i); err != nil {
			return fmt.Errorf("%q: %w", i.path, err)
		}
	}
	byNumber := slices.Clone(p.inodes)
	slices.SortFunc(byNumber, func(a, b *inode) int { return cmp.Compare(a.number, b.number) })
	var text []byte
	for _, i := range byNumber {
		if err := out.zeros(p.meta*BlockSize + (i.number-firstNumber)*slotSize); err != nil {
			return err
		}
		text = append(i.appendHeader(text[:0], config.Epoch), i.xattrs...)
		if err := out.write(text); err != nil {
			return err
		}
		if i.inline {
			if err := out.content(i); err != nil {
				return err
			}
		}
	}
	if err := out.zeros(p.blocks * BlockSize); err != nil {
		return err
	}
	return out.flush()
}

// inBlocks are the inodes whose content has blocks of its own, in their order.
func (p *plan) inBlocks() []*inode {
	var list []*inode
	for _, i := range p.inodes {
		if i.ownBlocks() > 0 {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *inode) int { return cmp.Compare(a.block, b.block) })
	return list
}

// output is the image as far as it is written.
type output struct {
	ctx    context.Context
	w      io.Writer
	step   progress.Step
	buffer []byte // is written when it is full
	at     int64  // bytes so far, with those in the buffer
}

// room is a part of the buffer, of at most size bytes, to be filled.
func (o *output) room(size int64) ([]byte, error) {
	if len(o.buffer) == cap(o.buffer) {
		if err := o.flush(); err != nil {
			return nil, err
		}
	}
	from := len(o.buffer)
	n := int(min(size, int64(cap(o.buffer)-from)))
	o.buffer = o.buffer[:from+n]
	o.at += int64(n)
	return o.buffer[from:], nil
}

func (o *output) flush() error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	if _, err := o.w.Write(o.buffer); err != nil {
		return fmt.Errorf("writing image: %w", err)
	}
	o.buffer = o.buffer[:0]
	return nil
}

func (o *output) write(p []byte) error {
	for len(p) > 0 {
		room, err := o.room(int64(len(p)))
		if err != nil {
			return err
		}
		p = p[copy(room, p):]
	}
	return nil
}

// zeros fills the image up to a byte.
func (o *output) zeros(to int64) error {
	for o.at < to {
		room, err := o.room(to - o.at)
		if err != nil {
			return err
		}
		clear(room)
	}
	return nil
}

// content writes what an inode holds.
func (o *output) content(i *inode) error {
	switch i.node.Kind {
	case tree.Directory:
		return o.write(directory(i.names))
	case tree.Symlink:
		return o.write([]byte(i.node.Target))
	}
	content := i.node.Content
	for done := int64(0); done < content.Size; {
		room, err := o.room(content.Size - done)
		if err != nil {
			return err
		}
		n, err := content.At.ReadAt(room, content.Offset+done)
		done += int64(n)
		o.step.Add(int64(n))
		switch {
		case n == len(room):
		case errors.Is(err, io.EOF):
			return fmt.Errorf("content of %d bytes ends after %d: %w", content.Size, done, io.ErrUnexpectedEOF)
		case err != nil:
			return err
		default:
			return io.ErrNoProgress
		}
	}
	return nil
}
