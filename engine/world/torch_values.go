// SPDX-License-Identifier: Apache-2.0

package world

// This file: the values of a pickle and the two calls a state dictionary makes.

import (
	"errors"
	"fmt"
	"strings"
)

// Values of the pickle machine beside string, int64, bool and nil.
type (
	pyGlobal string
	pyTuple  []any
	pyMark   struct{}
	// pyDict keeps the order of its keys.
	pyDict struct {
		keys   []any
		values []any
	}
	// torchStorage is a reference to the bytes of one or more tensors.
	torchStorage struct {
		kind, key string
		count     int64
	}
	// torchTensor is a view of a storage.
	torchTensor struct {
		storage       torchStorage
		offset        int64
		shape, stride []int64
	}
)

// namedTensor is one entry of a state dictionary.
type namedTensor struct {
	name   string
	tensor *torchTensor
}

// kindOf names the kind of a value for errors.
func kindOf(v any) string {
	switch v := v.(type) {
	case *pyDict:
		return "a dictionary"
	case pyTuple:
		return "a tuple"
	case pyGlobal:
		return string(v)
	case *torchTensor:
		return "a tensor"
	case torchStorage:
		return "a storage"
	case string:
		return "text"
	case int64, bool:
		return "a number"
	case pyMark:
		return "a mark"
	}
	return "nothing"
}

// reduce makes an ordered dictionary or a tensor: the only two calls known.
func (u *unpickler) reduce() error {
	arguments, err := u.pop()
	if err != nil {
		return err
	}
	callee, err := u.pop()
	if err != nil {
		return err
	}
	args, ok := arguments.(pyTuple)
	if !ok {
		return fmt.Errorf("arguments are %s", kindOf(arguments))
	}
	switch callee {
	case pyGlobal(pyOrderedDict):
		if len(args) != 0 {
			return errors.New("an ordered dictionary with arguments")
		}
		return u.push(&pyDict{})
	case pyGlobal(pyTensor):
		t, err := tensorOf(args)
		if err != nil {
			return err
		}
		return u.push(t)
	}
	return fmt.Errorf("a call of %s: refused", kindOf(callee))
}

// tensorOf reads storage, offset, shape and strides; what follows is about
// gradients.
func tensorOf(args pyTuple) (*torchTensor, error) {
	if len(args) != 6 && len(args) != 7 {
		return nil, fmt.Errorf("a tensor of %d arguments", len(args))
	}
	storage, ok1 := args[0].(torchStorage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := sizes(args[2])
	stride, ok4 := sizes(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || offset < 0 || len(shape) != len(stride) {
		return nil, errors.New("a tensor without storage, offset, shape and strides")
	}
	return &torchTensor{storage: storage, offset: offset, shape: shape, stride: stride}, nil
}

// sizes reads a tuple of up to four counts.
func sizes(v any) ([]int64, bool) {
	t, ok := v.(pyTuple)
	if !ok || len(t) > 4 {
		return nil, false
	}
	out := make([]int64, len(t))
	for i, x := range t {
		n, ok := x.(int64)
		if !ok || n < 0 || n > maxStorage {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// storage reads a persistent id: ("storage", type, key, device, count).
func (u *unpickler) storage() error {
	v, err := u.pop()
	if err != nil {
		return err
	}
	id, ok := v.(pyTuple)
	if !ok || len(id) != 5 || id[0] != any("storage") {
		return errors.New("a persistent id that is no storage")
	}
	kind, ok1 := id[1].(pyGlobal)
	key, ok2 := id[2].(string)
	count, ok3 := id[4].(int64)
	if !ok1 || !ok2 || !ok3 || count < 0 || count > maxStorage || !strings.HasSuffix(string(kind), "Storage") {
		return errors.New("a storage without type, key and count")
	}
	return u.push(torchStorage{kind: string(kind), key: key, count: count})
}
