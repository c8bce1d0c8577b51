package oci

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"

	"github.com/containerd/containerd/v2/pkg/atomicfile"

	"roadstead.dev/roadstead/internal/agent/runtime"
)

// holdDir in the monitor's directory is the file system of containers that run nothing, and holdProgram the program there.
const (
	holdDir     = "hold"
	holdProgram = "pause"
)

// pauseCode is what such a container's process does: it ignores SIGCHLD, by which the kernel reaps what becomes its child (it
// is the first process of its pid namespace), and sleeps for ever. As a first process it takes no signal but SIGKILL from outside.
//
// Its source, in Go's terms:
//
//	rt_sigaction(SIGCHLD, &{handler: SIG_IGN}, nil, 8)
//	for { pause() } // where there is no pause(2): ppoll(nil, 0, nil, nil)
//
// The struct, 32 bytes, follows the code at a multiple of eight.
var pauseCode = map[string]struct {
	machine elf.Machine
	code    []byte
}{
	"amd64": {elf.EM_X86_64, []byte{
		0xb8, 13, 0, 0, 0, // mov eax, 13
		0xbf, 17, 0, 0, 0, // mov edi, 17
		0x48, 0x8d, 0x35, 23, 0, 0, 0, // lea rsi, [rip+23]
		0x31, 0xd2, // xor edx, edx
		0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8
		0x0f, 0x05, // syscall
		0xb8, 34, 0, 0, 0, // mov eax, 34
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp -9
		0, 0, 0, 0,
	}},
	"arm64": {elf.EM_AARCH64, words(
		0xd2800220, // mov x0, 17
		0x100001a1, // adr x1, +52
		0xd2800002, // mov x2, 0
		0xd2800103, // mov x3, 8
		0xd28010c8, // mov x8, 134
		0xd4000001, // svc 0
		0xd2800000, // mov x0, 0
		0xd2800001, // mov x1, 0
		0xd2800002, // mov x2, 0
		0xd2800003, // mov x3, 0
		0xd2800928, // mov x8, 73
		0xd4000001, // svc 0
		0x17fffffa, // b -6 instructions
		0,
	)},
}

func words(list ...uint32) []byte {
	var b []byte
	for _, w := range list {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// pause makes the program for an architecture of Go's.
func pause(arch string) ([]byte, error) {
	p, ok := pauseCode[arch]
	if !ok {
		return nil, fmt.Errorf("containers cannot share namespaces on %s", arch)
	}
	const base = 0x400000
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(p.machine), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	const start = 64 + 56
	header.Entry = base + start
	size := uint64(start + len(p.code) + 32)
	segment := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x10000}
	var b bytes.Buffer
	ignore := [4]uint64{1} // SIG_IGN; no flags, no restorer, no mask
	for _, part := range []any{header, segment, p.code, ignore} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// holder turns a specification that asks for a container that runs nothing into one of a program.
func (r *Runtime) holder(spec *runtime.Spec) (*runtime.Spec, error) {
	program, err := pause(goruntime.GOARCH)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(r.cfg.Dir, holdDir)
	if err := writeProgram(dir, program); err != nil {
		return nil, fmt.Errorf("write what holds namespaces: %w", err)
	}
	s := *spec
	s.Image, s.Args = &runtime.Image{Layers: []string{dir}}, []string{"/" + holdProgram}
	s.User, s.ReadonlyRootfs, s.CapDrop, s.Linux.Security = "", true, []string{"ALL"}, []string{"no-new-privileges"}
	return &s, nil
}

// writeProgram writes the program if it is not there.
func writeProgram(dir string, program []byte) error {
	path := filepath.Join(dir, holdProgram)
	if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, program) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := atomicfile.New(path, 0o555)
	if err != nil {
		return err
	}
	if _, err := f.Write(program); err != nil {
		return errors.Join(err, f.Cancel())
	}
	return f.Close()
}
