def test_it(machine):
    assert machine.now()['sysctl']['vm.overcommit_memory'] == 2
