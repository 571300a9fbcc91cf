// SPDX-License-Identifier: MIT
// The same from C++: any callable becomes a task.
#include "core/embed.h"

#include <functional>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace
{

void *call(void *arg)
{
	(*static_cast<std::function<void()> *>(arg))();
	return nullptr;
}

class scheduler
{
	shunt_sched *sched = nullptr;

      public:
	explicit scheduler(const char *spec)
	{
		shunt_error err{};
		if (shunt_open(&sched, spec, nullptr, &err))
			throw std::runtime_error(err.text);
	}
	scheduler(const scheduler &) = delete;
	scheduler &operator=(const scheduler &) = delete;
	~scheduler()
	{
		shunt_close(sched);
	}
	void run(std::function<void()> root)
	{
		shunt_error err{};
		if (shunt_run(sched, call, &root, nullptr, &err))
			throw std::runtime_error(err.text);
	}
};

} // namespace

int main(int argc, char **argv)
try {
	std::vector<int> squares(10);
	scheduler sched(argc > 1 ? argv[1] : "asm");
	sched.run([&] {
		std::vector<std::function<void()>> work;
		std::vector<shunt_handle> task(squares.size());
		for (int i = 0; i < 10; i++)
			work.emplace_back([&squares, i] { squares[i] = i * i, shunt_yield(); });
		for (size_t i = 0; i < task.size(); i++)
			shunt_spawn(&task[i], call, &work[i], nullptr);
		for (auto &one : task)
			shunt_join(one, nullptr);
	});
	int sum = std::accumulate(squares.begin(), squares.end(), 0);
	std::cout << "sum " << sum << '\n';
	return sum == 285 ? 0 : 1;
} catch (const std::exception &error) {
	std::cerr << "embed: " << error.what() << '\n';
	return 1;
}
