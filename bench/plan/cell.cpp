#include "bench/plan/cell.hpp"

#include "bench/plan/parameter_table.hpp"

namespace tally {

bool runs(Model const& model, StreamKind stream) noexcept {
  switch (stream) {
    case StreamKind::cpu:
      return model.cpu != nullptr;
    case StreamKind::lookup:
      return model.lookup != nullptr;
    case StreamKind::ingest:
      return model.ingest != nullptr;
  }
  return false;
}

std::string Cell::name() const {
  return std::string(name_of(stream)) + "/" + std::string(model->name) + spell(*this);
}

std::string Group::name() const { return std::string(name_of(stream)) + spell(*this); }

Cell cell_in(Parameters const& group, Model const& model) {
  Cell cell;
  static_cast<Parameters&>(cell) = group;
  cell.model = &model;
  if (model.sequential) cell.workers = cell.in_flight = 1;
  if (!model.reactor) cell.io = Io::epoll;
  return cell;
}

bool bounded_by_limit(Group const& group, Cell const& cell) noexcept {
  if (!cell.model->sequential) return true;
  return group.workers == 1 && group.io == cell.io &&
         (group.stream != StreamKind::lookup || group.in_flight == 1);
}

}  // namespace tally
